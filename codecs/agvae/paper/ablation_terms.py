"""Which variants are available, how each was trained, and whether the terms were equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import registry
from bench.codecs.agvae.family import AgvaeBranch
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.errors import CodecError

EQUAL = ("budget", "batch", "crop", "seed", "rate", "decay", "average", "storage_bits")
"""What must be the same for variants to be comparable, beside data and start."""

_ORDER = ("gain-asym", "gain-gauss", "nogain-asym", "nogain-gauss")


@dataclass(frozen=True, slots=True)
class Variant:
    """One codec of the ablation, its sets of weights, or the reason why there are none."""

    codec: str
    variant: str
    networks: tuple[Manifest, ...] = field(default=())
    reason: str = ""


def variants() -> list[Variant]:
    """Return the four variants, gained and asymmetric first, available or not."""
    found = []
    for name, entry in registry.discover().items():
        cls = entry.cls
        if cls is None or not issubclass(cls, AgvaeBranch) or cls.variant not in _ORDER:
            continue
        networks: tuple[Manifest, ...] = ()
        reason = ""
        try:
            registry.create(name)
            networks = tuple(checkpoints.find(cls.variant, preset=cls.preset, branch=True))
        except CodecError as error:
            reason = str(error)
        found.append(Variant(name, cls.variant, networks, reason))
    return sorted(found, key=lambda variant: _ORDER.index(variant.variant))


def training_of(network: Manifest) -> dict[str, Any]:
    """Return the training record of a manifest; empty where it has none."""
    training: dict[str, Any] = dict(network.facts.get("training", {}))
    return training


def crops_per_level(network: Manifest) -> float | None:
    """Return how many crops a network saw at each of its levels; None if not recorded.

    The other way of counting beside steps: a gained network spreads its crops over all levels.
    """
    crops = training_of(network).get("crops")
    return None if crops is None else crops / len(network.levels)


def inequalities(found: Sequence[Variant]) -> list[str]:
    """Return in words what differs between the trainings of the available variants."""
    networks = [network for variant in found for network in variant.networks]
    records = {network.name: training_of(network) for network in networks}
    words = []
    for key in EQUAL:
        values = {str(record.get(key)) for record in records.values()}
        if len(values) > 1:
            words.append(f"{key} differs: {', '.join(sorted(values))}")
    data = {str(_data(record)) for record in records.values()}
    if len(data) > 1:
        words.append(f"training data differ: {len(data)} sets of photographs")
    starts = {str((record.get("init") or {}).get("model_id")) for record in records.values()}
    if len(starts) > 1:
        words.append("some networks continue from others, some begin from scratch")
    steps = [record["steps"] for record in records.values() if "steps" in record]
    if steps and min(steps) != max(steps):
        words.append(f"steps differ: {min(steps)} to {max(steps)}")
    return words


def _data(record: dict[str, Any]) -> Any:  # noqa: ANN401 - plain data
    data = record.get("data")
    return data.get("pixels_sha256") if isinstance(data, dict) else data
