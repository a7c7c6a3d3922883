"""Whole weights, a third smaller: their integers as predicted from those of another network.

A network that continues another for long is no branch (``difference``), since its steps are its
own, but still points in the same direction. Its file holds::

    predicted_from  uint8 (32,)              sha256 of the file that predicts
    stream, rows, columns                    residuals of the integers, as ``difference.coded``
    NAME.ratio      float32 (outputs,)       of the integers, least squares
    NAME.bits       uint8 ()                 of an integer of this tensor
    NAME.scale and all else                  as ``quantised.pack`` gives it

An integer is its residual plus the rounded product of the predicting file's integer and the ratio
(``difference.prediction``).
Nothing is lost: the tensors, and with them the model id, are those of the file stored by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.codecs.agvae.weights.difference import CODED, coded, decoded, prediction, ratio
from bench.codecs.agvae.weights.packed import LOW, SCALE
from bench.codecs.agvae.weights.quantised import integers, split
from bench.errors import DecodeError

PREDICTED_FROM = "predicted_from"
_RATIO, _BITS = ".ratio", ".bits"


def pack(packed: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors to store, without ``predicted_from``.

    Parameters
    ----------
    packed
        What ``quantised.pack`` gave.
    base
        Tensors of the file that predicts, of the same shapes.
    """
    own, _, stored = integers(packed)
    predicting, _, _ = integers(base)
    residuals = {}
    for name, steps in own.items():
        by = ratio(steps, predicting[name], rows=True)
        residual = steps - prediction(predicting[name], by)
        residuals[name] = residual.to(torch.int32).numpy()
        bits = 8 + (len(packed[name + LOW]) if name + LOW in packed else 0)
        stored |= {
            name + SCALE: packed[name + SCALE],
            name + _RATIO: by,
            name + _BITS: torch.tensor(bits, dtype=torch.uint8),
        }
    return stored | coded(residuals)


def unpack(stored: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what ``pack`` was given, bit by bit.

    Raises
    ------
    DecodeError
        If the stream is damaged.
    """
    predicting, _, _ = integers(base)
    packed = {
        name: tensor
        for name, tensor in stored.items()
        if name not in (*CODED, PREDICTED_FROM) and not name.endswith((_RATIO, _BITS))
    }
    for name, residual in decoded(stored, predicting).items():
        steps = residual + prediction(predicting[name], stored[name + _RATIO])
        bits = int(stored[name + _BITS])
        if steps.abs().max() >> (bits - 1):
            raise DecodeError(f"{name}: an integer of over {bits} bits", "The file is damaged.")
        packed |= split(name, steps.to(torch.int16), bits)
    return packed
