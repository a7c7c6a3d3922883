"""Where a run starts: released weights or a state, also of another variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.codecs.agvae.model import mechanisms
from bench.codecs.agvae.model.config import MECHANISMS, Config
from bench.codecs.agvae.model.gain_units import folding, level_gains
from bench.codecs.agvae.training import state
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.checkpoints import Z_TABLES
from bench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to begin with.

    Attributes
    ----------
    tensors
        State dict of ``model.AGVAE`` for the run's own configuration.
    origin
        Plain data for the manifest: name, model id and training of what they come from.
    taints
        Why the result may not be called released; usually empty.
    """

    tensors: dict[str, Tensor]
    origin: dict[str, Any] = field(default_factory=dict)
    taints: tuple[str, ...] = ()


def read(path: Path, config: Config, level: int | None) -> Start:
    """Return the weights of a file or state as a network of ``config`` needs them.

    From a gained network to one without gain, the gains of ``level`` are multiplied into the
    convolutions beside them: the same function.

    Parameters
    ----------
    path
        ``NAME.safetensors`` or its manifest, or a training state, ``NAME.state``.
    config
        Of the new run; sizes must agree, the variant need not.
    level
        Of a run without gain.

    Raises
    ------
    UsageError
        If there are no such weights, or their sizes are others.
    """
    if path.suffix == ".state":
        tensors, facts = state.load(path)
        prefix = state.AVERAGE
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        found = Config.from_dict(facts["config"])
        start = Start(weights, {"name": path.stem, "steps": facts["step"]}, tuple(facts["taints"]))
    else:
        found, start = _released(path)
    return Start(_adapted(start.tensors, found, config, level, path), start.origin, start.taints)


def _released(path: Path) -> tuple[Config, Start]:
    manifest_path = path.with_suffix(".json")
    if not manifest_path.is_file():
        raise UsageError(
            f"--init {path}: no manifest {manifest_path.name} beside it",
            "Give NAME.safetensors of released weights, or NAME.state.",
        )
    manifest = checkpoints.read_manifest(manifest_path)
    stored = checkpoints.load(manifest)
    stored.pop(Z_TABLES, None)
    weights = mechanisms.as_trained(stored, manifest.config)
    config = manifest.config.as_stored
    facts = manifest.facts
    taints = [str(facts["note"])] if facts.get("note") else []
    if manifest.status != "released" and not taints:
        taints = [f"continued from {manifest.name}, which is {manifest.status}"]
    origin = {
        "name": manifest.name,
        "model_id": manifest.model_id,
        "sha256": manifest.sha256,
        "training": facts.get("training", {}),
    }
    return config, Start(weights, origin, tuple(taints))


def _adapted(
    tensors: Mapping[str, Tensor], found: Config, wanted: Config, level: int | None, path: Path
) -> dict[str, Tensor]:
    sizes = ("channels", "depth", "latent", "hyper", "blocks", "levels")
    for name in sizes:
        if getattr(found, name) != getattr(wanted, name):
            raise UsageError(
                f"--init {path}: its {name} is {getattr(found, name)}, this run needs "
                f"{getattr(wanted, name)}",
                f"Start from weights of the preset {wanted.preset}.",
            )
    if wanted.gain and not found.gain:
        raise UsageError(
            f"--init {path}: a network without gain cannot become a gained one",
            "Start from a gain variant.",
        )
    if found.mechanism not in (MECHANISMS[0], wanted.mechanism):
        raise UsageError(
            f"--init {path}: {found.variant} cannot become {wanted.variant}",
            "Start from a gain variant.",
        )
    if found.mechanism != wanted.mechanism:
        return mechanisms.start(tensors, wanted)
    adapted = dict(tensors)
    if found.gain and not wanted.gain:
        assert level is not None
        for name, factor in folding(wanted, level_gains(adapted, level)).items():
            adapted[name] = adapted[name] * factor
        adapted = {k: v for k, v in adapted.items() if not k.startswith(("gain_y.", "gain_z."))}
    return adapted
