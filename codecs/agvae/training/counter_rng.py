"""Random numbers that are a function of (seed, step): the same on every device, after every resume.

Torch's generators differ between CPU and GPU, and one that noise also draws from would give each
variant other crops. Here every number is a hash of what it is for. All arithmetic is on integers
below 2^32 held in int64.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LOW32 = 0xFFFFFFFF


def _mix(x: Tensor) -> Tensor:
    """Return a bijection of 32-bit numbers that spreads every input bit, murmur-like."""
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _LOW32  # the product wraps; its low 32 bits are right all the same
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _LOW32
    return x ^ (x >> 16)


def random_u32(seed: int, step: Tensor, count: int) -> Tensor:
    """Return ``count`` uniform numbers in [0, 2^32), int64, on the device of ``step``.

    ``step``, an integer without dimensions, is read there, so that a CUDA graph can hold this.
    """
    index = torch.arange(1, count + 1, device=step.device)
    key = _mix((step + (0x9E3779B9 * (seed + 1) & _LOW32)) & _LOW32)
    return _mix(_mix(index * 0x85EBCA6B & _LOW32) ^ key)


def below(limit: Tensor | int, u32: Tensor) -> Tensor:
    """Return uniform integers in [0, limit) from uniform 32-bit numbers; ``limit`` under 2^31."""
    return (u32 * limit) >> 32
