"""Weights in few bytes: how tensors of a state dict are stored, and read back.

A convolution's weights become integers of 8 to 12 bits with one scale per output channel::

    NAME          int8 (tensor's shape)       the integer's upper 8 bits
    NAME.low      uint8 (bits - 8, bytes)     the bits below, one plane each, the highest first
    NAME.scale    float32 (outputs,)          value = integer * scale

``NAME.low`` is absent at 8 bits. Vectors and tables are stored as they are, in float32: small.
Reading back is one correctly rounded product per weight, so every machine gets the same weights.

In a file, ``NAME`` is Huffman-coded, which takes a quarter off (weights crowd around zero; the bits
below are noise and stay)::

    NAME.deflate   uint8 (bytes)               raw DEFLATE, Huffman codes only, of NAME's bytes
    NAME.shape     int32 (axes)                NAME's shape
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.weights import packed
from bench.codecs.agvae.weights.packed import DEFLATE, LOW, SCALE, SHAPE

_SHRINK = torch.linspace(0.70, 1.0, 31)


def quantise(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return integers of ``bits`` bits (int16, the tensor's shape) and float32 scales (outputs,).

    The scale of each output (first axis) minimises the squared error over a few clipping points,
    which beats the plain maximum where one weight sticks out.
    """
    top = (1 << (bits - 1)) - 1
    rows = weight.detach().double().reshape(weight.shape[0], -1)
    peak = rows.abs().amax(1).clamp_min(1e-12)
    best_error = torch.full_like(peak, torch.inf)
    best = peak / top
    for shrink in _SHRINK.tolist():
        scale = (peak * shrink / top).float().double()
        error = (_steps(rows, scale, top) * scale[:, None] - rows).square().sum(1)
        better = error < best_error
        best = torch.where(better, scale, best)
        best_error = torch.where(better, error, best_error)
    return _steps(rows, best, top).to(torch.int16).reshape(weight.shape), best.float()


def _steps(rows: Tensor, scale: Tensor, top: int) -> Tensor:
    return torch.round(rows / scale[:, None]).clamp_(-top, top)


def pack(state: Mapping[str, Tensor], bits: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the tensors to store.

    Parameters
    ----------
    state
        Tensors by name; those of integers are stored as they are.
    bits
        Prefix of the name -> bits per weight of convolutions, 8 to 12; the longest prefix wins.
        Where none matches, and for everything but convolutions, float32 is stored.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        wanted = _bits_of(name, bits) if tensor.ndim == 4 else None
        if wanted is None:
            kept = tensor.float() if tensor.is_floating_point() else tensor
            packed[name] = kept.detach().contiguous()
            continue
        steps, packed[name + SCALE] = quantise(tensor, wanted)
        packed |= split(name, steps, wanted)
    return packed


def split(name: str, steps: Tensor, bits: int) -> dict[str, Tensor]:
    """Return integers of ``bits`` bits as ``NAME`` and, above 8 bits, ``NAME.low``."""
    shift = bits - 8
    parts = {name: (steps >> shift).to(torch.int8)}
    if shift:
        planes = [(steps >> plane & 1).numpy().reshape(-1) for plane in range(shift)[::-1]]
        parts[name + LOW] = torch.from_numpy(np.packbits(np.array(planes, np.uint8), axis=1))
    return parts


def _bits_of(name: str, bits: Mapping[str, int]) -> int | None:
    prefixes = [prefix for prefix in bits if name.startswith(prefix)]
    return bits[max(prefixes, key=len)] if prefixes else None


def deflate(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what ``pack`` gave with the integers' upper bits Huffman-coded, as files hold them."""
    stored: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if tensor.dtype != torch.int8:
            stored[name] = tensor
            continue
        coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
        data = coder.compress(tensor.contiguous().numpy().tobytes()) + coder.flush()
        stored[name + DEFLATE] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        stored[name + SHAPE] = torch.tensor(tensor.shape, dtype=torch.int32)
    return stored


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what ``pack`` was given, up to the rounding of the weights; takes files' form too."""
    steps, scales, others = integers(stored)
    return others | {name: steps[name].float() * scales[name] for name in steps}


def integers(
    stored: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Return the integers of what ``pack`` or ``deflate`` gave, their scales, and what has none.

    Integers are int16 of each tensor's shape; scales are float32 and broadcast to it.
    """
    arrays = packed.integers({name: tensor.numpy() for name, tensor in stored.items()})
    steps, scales, others = ({k: torch.from_numpy(v) for k, v in part.items()} for part in arrays)
    return steps, scales, others
