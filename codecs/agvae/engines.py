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

    An empty precision of g_a and g_s means bfloat16 on CUDA, else float32.

    Raises
    ------
    SettingError
        If there is no such precision.
    Unavailable
        If the device needs Triton, and it is not installed.
    """
    return _engine(manifest, device, precisions.named(precision, device))


@lru_cache(maxsize=16)
def _engine(manifest: Manifest, device: str, precision: str) -> Engine:
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
