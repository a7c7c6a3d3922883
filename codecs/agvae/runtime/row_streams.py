"""g_a on pictures too large for one go: bands of rows, each layer going on where it stopped.

A band ends in the middle of what a convolution sees. Instead of computing an overlap twice, each
convolution keeps the last rows of its input for the next band. So no row of any layer is computed
twice, and activations are small: a band is as wide as the picture and a few rows high.

Tensors are (1, C, H, W), channels last: their rows lie one after the other in memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.codecs.agvae.runtime.fused_conv import is_fused, plus, with_relu


class RowStream:
    """A sequence of convolutions and bottlenecks that takes a picture band by band.

    Parameters
    ----------
    net
        As ``model.analysis`` or ``fused`` return it.
    """

    def __init__(self, net: nn.Module) -> None:
        self._layers = [
            _Convolution(layer) if isinstance(layer, nn.Conv2d) else _Block(layer)
            for layer in net.children()
        ]

    def push(self, band: Tensor, *, last: bool) -> Tensor:
        """Return the output rows that can be computed now.

        Parameters
        ----------
        band
            The next rows, (1, C, h, W); so many that every layer has rows to return.
        last
            Whether nothing comes below.
        """
        for layer in self._layers:
            band = layer.push(band, last=last)
        return band


class _Convolution:
    """A convolution without a border above and below: zeros are rows of its input there."""

    def __init__(
        self, layer: nn.Conv2d, apply: Callable[[Tensor, nn.Conv2d], Tensor] | None = None
    ) -> None:
        self._size, self._stride = layer.kernel_size[0], layer.stride[0]
        self._border = self._size // 2
        self._layer = copy.copy(layer)  # the same weights
        self._layer.padding = (0, self._border)
        self._apply = apply or _plain
        self._kept: Tensor | None = None

    def push(self, rows: Tensor, *, last: bool) -> Tensor:
        zeros = torch.zeros_like(rows[:, :, :1]).expand(-1, -1, self._border, -1)
        above = zeros if self._kept is None else self._kept
        rows = _joined(above, rows, *([zeros] if last else []))
        used = self._stride * ((rows.shape[2] - self._size) // self._stride + 1)
        self._kept = _copied(rows[:, :, used:])
        return self._apply(rows, self._layer)


class _Block:
    """A bottleneck, x + conv1(relu(conv3(relu(conv1 x)))): its output is a row behind its input."""

    def __init__(self, block: nn.Module) -> None:
        enter, middle, leave = (m for m in block.modules() if isinstance(m, nn.Conv2d))
        self._enter, self._leave = enter, leave
        quick = is_fused(block, leave.weight.dtype)
        self._with_relu, self._plus = (with_relu, plus) if quick else (_with_relu, _plus)
        self._middle = _Convolution(middle, self._with_relu)
        self._kept: Tensor | None = None

    def push(self, rows: Tensor, *, last: bool) -> Tensor:
        inner = self._middle.push(self._with_relu(rows, self._enter), last=last)
        rows = rows if self._kept is None else _joined(self._kept, rows)
        self._kept = _copied(rows[:, :, inner.shape[2] :])
        return self._plus(inner, self._leave, rows[:, :, : inner.shape[2]])


def _plain(x: Tensor, layer: nn.Conv2d) -> Tensor:
    out: Tensor = layer(x)
    return out


def _with_relu(x: Tensor, layer: nn.Conv2d) -> Tensor:
    return _plain(x, layer).relu_()


def _plus(x: Tensor, layer: nn.Conv2d, other: Tensor) -> Tensor:
    return other + _plain(x, layer)


def _joined(*rows: Tensor) -> Tensor:
    return torch.cat(rows, 2).contiguous(memory_format=torch.channels_last)


def _copied(rows: Tensor) -> Tensor:
    """Return rows that do not hold the memory of their band."""
    return rows.clone(memory_format=torch.channels_last)
