"""From a trained state dict to a set of weights that codecs find: two files, NAME.*."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import z_tables_from_cdf
from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.model.factorized_prior import FactorizedPrior
from bench.codecs.agvae.model.gain_units import level_gains
from bench.codecs.agvae.weights import difference, predicted
from bench.codecs.agvae.weights.checkpoints import (
    MANIFEST_VERSION,
    Z_TABLES,
    Manifest,
    stored_tensors,
)
from bench.codecs.agvae.weights.ids import model_id
from bench.codecs.agvae.weights.quantised import deflate, pack

Z_TAIL = 2.0**-17
"""z's tables end where less than this is left on either side of every channel."""

Z_RADIUS_MAX = 255


def storage_bits(config: Config) -> dict[str, int]:
    """Return bits per weight by prefix, as measured on Kodak (see WEIGHTS.md).

    The two innermost convolutions hold 40 % of the transforms' weights and most of the cost of
    rounding them; h_a only predicts what z says, and the entropy networks what y may be.
    """
    innermost = sum(config.depth) + 3
    return {
        "g_a.": 10,
        "g_s.": 10,
        f"g_a.{innermost}.": 11,
        "g_s.0.": 11,
        "h_a.": 8,
        "h_s.": 9,
        "context.": 9,
    }


def export(  # noqa: PLR0913 - independent facts of one set of weights
    state: Mapping[str, Tensor],
    config: Config,
    folder: Path | str,
    name: str,
    *,
    metric: str = "mse",
    level: float | None = None,
    bits: Mapping[str, int] | None = None,
    facts: Mapping[str, Any] | None = None,
    base: Manifest | None = None,
    predicted_from: Manifest | None = None,
) -> Path:
    """Write NAME.safetensors and NAME.json, and return the manifest's path.

    Parameters
    ----------
    state
        State dict of ``model.AGVAE``.
    config
        Its configuration.
    folder
        Where to; made if absent.
    name
        Stem of both files.
    metric
        What it was trained for, ``mse`` or ``ms-ssim``.
    level
        The one level of a network without gain.
    bits
        Bits per weight by prefix; ``storage_bits(config)`` if None.
    facts
        Further entries of the manifest: ``status``, ``training``, ``reached``, ``note``.
    base
        Store a branch: differences from these weights, a gained network's, with ``bits`` of its
        own.
    predicted_from
        Store integers smaller, as predicted from those of this file: whole weights from whole
        ones of the same shapes, a branch from another branch of its base.

    Raises
    ------
    Unavailable
        If the base or what predicts cannot be read.
    """
    from safetensors.torch import save

    bits = storage_bits(config) if bits is None else bits
    if base is None:
        stored = pack(state, bits)
        stored[Z_TABLES] = z_tables(state, config)
        computed_with, beside = stored, {}
        if predicted_from is None:
            stored = deflate(stored)
        else:
            stored = predicted.pack(stored, stored_tensors(predicted_from))
    else:
        stored, computed_with = _as_branch(state, config, level, base, predicted_from)
        beside = {"base": _identity(base)}
        bits = base.facts["storage_bits"]
    if predicted_from is not None:
        stored[predicted.PREDICTED_FROM] = _named(predicted_from)
        beside["predicted_from"] = _identity(predicted_from)
    data = save(stored)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(data)
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "variant": config.variant,
        "config": config.to_dict(),
        "level": level,
        "metric": metric,
        "model_id": model_id(computed_with, config),
        "status": "released",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "storage_bits": dict(bits),
        **beside,
        **(facts or {}),
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return path


def _identity(other: Manifest) -> dict[str, str]:
    return {"name": other.name, "model_id": other.model_id, "sha256": other.sha256}


def _named(other: Manifest) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(other.sha256), dtype=torch.uint8)


def _as_branch(
    state: Mapping[str, Tensor],
    config: Config,
    level: float | None,
    base: Manifest,
    predicted_from: Manifest | None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what a branch's file holds, and what is computed with once it is read."""
    base_tensors = stored_tensors(base)
    gains = {} if level is None else level_gains(base_tensors, int(level))
    whole = {**state, Z_TABLES: z_tables(state, config)}
    moved = None
    if predicted_from is not None:
        of_other = stored_tensors(predicted_from)
        moved = difference.differences(of_other, base_tensors, predicted_from.config)
    stored = difference.pack(whole, base_tensors, config, gains, moved)
    stored[difference.BASE] = _named(base)
    return stored, difference.unpack(stored, base_tensors, config, moved)


@torch.no_grad()
def z_tables(state: Mapping[str, Tensor], config: Config) -> Tensor:
    """Return the integer frequencies of z, (hyper, 2 R + 3) int32, from a state dict's prior.

    Floats end here: every encoder and decoder uses these integers.
    """
    prior = FactorizedPrior(config.hyper).double()
    prefix = "z_prior."
    prior.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    edges = torch.arange(-Z_RADIUS_MAX - 0.5, Z_RADIUS_MAX + 1, dtype=torch.float64)
    cdf = torch.sigmoid(prior.logits(edges.expand(config.hyper, 1, -1)))[:, 0]
    # Symmetric edges: the tails beyond edge i and its mirror image, worst channel.
    tail = torch.maximum(cdf.amax(0), (1 - cdf).amax(0).flip(0))
    radius = Z_RADIUS_MAX
    while radius > 2 and tail[Z_RADIUS_MAX - radius + 1] < Z_TAIL:
        radius -= 1
    inner = cdf[:, Z_RADIUS_MAX - radius : Z_RADIUS_MAX + radius + 2]
    return torch.from_numpy(z_tables_from_cdf(inner.numpy()))
