"""Which engine serves a set of weights on a device: one for the CPU, one for GPUs."""

from __future__ import annotations

from functools import lru_cache

import torch

from bench.codecs.agvae.runtime import precision as precisions
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.errors import Unavailable


def engine_for(manifest: Manifest, device: str, precision: str = "") -> Engine:
    """Return the engine of a set of weights, made once per process, device and precision.

    Of the levels of conditional networks, each an engine of its own, those used last are kept.

    An empty precision of g_a and g_s means bfloat16 on CUDA, else float32.

    Raises
    ------
    SettingError
        If there is no such precision.
    Unavailable
        If the device needs Triton, and it is not installed.
    """
    kept = _engine if manifest.whole is None else _engine_of_level
    return kept(manifest, device, precisions.named(precision, device))


def _new_engine(manifest: Manifest, device: str, precision: str) -> Engine:
    if not device.startswith("cuda"):
        return Engine(manifest, device, getattr(torch, precision))
    try:
        from bench.codecs.agvae.gpu.engine import DeviceEngine
    except ImportError as error:
        raise Unavailable(
            f"AG-VAE on {device} needs Triton: {error}",
            "Install it (python -m pip install triton), or use the CPU.",
        ) from error
    return DeviceEngine(manifest, device, getattr(torch, precision))


_engine = lru_cache(maxsize=16)(_new_engine)
_engine_of_level = lru_cache(maxsize=3)(_new_engine)
"""A seventh of a gigabyte each, beside what they are made from again in a moment."""
