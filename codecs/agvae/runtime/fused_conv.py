"""Convolutions that write their result once: ReLU and residual sum inside, for the CPU.

PyTorch's own operators read and write every activation again for a ReLU and for a sum, and on a
CPU g_a and g_s wait for memory. oneDNN applies both while the result is in registers; torch.compile
reaches the same primitives, but wants a C++ compiler and a minute. Where oneDNN chooses the same
kernels for both (pictures of Kodak's size, say) the results are the same in every bit.

The operators are PyTorch's but not documented, so where they are missing the network stays as it
is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.layers import Bottleneck
from bench.codecs.agvae.runtime.winograd import Winograd, suits
from bench.codecs.agvae.threads import at_once


def fused(net: nn.Module, *, winograd: bool = False) -> nn.Module:
    """Return a network that computes what ``net`` does, from the same weights, in fewer passes.

    Parameters
    ----------
    net
        A sequence of convolutions, bottlenecks and sequences of these, as ``model.analysis`` and
        ``model.synthesis`` return it; evaluated on the CPU without gradients.
    winograd
        Whether 3x3 convolutions may be computed as ``winograd.py`` does, which rounds otherwise.
        The network then takes one picture at a time, and may write into it.
    """
    if not _available() or not isinstance(net, nn.Sequential):
        return net
    if winograd and len(net) == 2 and suits(net[0]) and isinstance(net[1], nn.PixelShuffle):
        return nn.Sequential(Winograd(net[0], factor=net[1].upscale_factor))
    return nn.Sequential(*at_once(partial(_fused_layer, winograd=winograd), net.children()))


def _available() -> bool:
    """Return whether oneDNN and PyTorch's operators for it are here."""
    operators = getattr(torch.ops, "mkldnn", None)
    here: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return here and all(
        hasattr(operators, name) for name in ("_convolution_pointwise", "_convolution_pointwise_")
    )


def _fused_layer(layer: nn.Module, *, winograd: bool) -> nn.Module:
    if isinstance(layer, Bottleneck):
        return _Bottleneck(layer, winograd=winograd)
    return fused(layer, winograd=winograd) if isinstance(layer, nn.Sequential) else layer


class _Bottleneck(nn.Module):
    """x + conv1(relu(conv3(relu(conv1 x)))) in three passes instead of six."""

    def __init__(self, plain: Bottleneck, *, winograd: bool) -> None:
        super().__init__()
        self.plain = plain
        self.enter, self.middle, self.leave = (
            layer for layer in plain.body if isinstance(layer, nn.Conv2d)
        )
        self.quick = Winograd(self.middle, relu=True) if winograd and suits(self.middle) else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape; with Winograd's convolution in the memory of ``x``."""
        if not is_fused(self, x.dtype):
            out: Tensor = self.plain(x)
            return out
        inner = with_relu(x, self.enter)
        if self.quick is None:
            return plus(with_relu(inner, self.middle), self.leave, x)
        return _added(self.quick(inner), self.leave, x)


def is_fused(block: nn.Module, dtype: torch.dtype) -> bool:
    """Return whether a block computes with oneDNN, which refuses bfloat16 below AVX-512."""
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
        return False
    return isinstance(block, _Bottleneck)


def with_relu(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return the convolution of ``x`` and its ReLU."""
    call = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001 - see above
    out: Tensor = call(x, *_arguments(layer), "relu", [], "")
    return out


def plus(x: Tensor, layer: nn.Conv2d, other: Tensor) -> Tensor:
    """Return the convolution of ``x`` plus ``other``."""
    call = torch.ops.mkldnn._convolution_pointwise.binary  # noqa: SLF001 - see above
    out: Tensor = call(x, other, *_arguments(layer), "add", 1.0, None, [], None)
    return out


def _added(x: Tensor, layer: nn.Conv2d, other: Tensor) -> Tensor:
    """Return ``other``, to which the convolution of ``x`` was added: no new memory."""
    call = torch.ops.mkldnn._convolution_pointwise_.binary
    out: Tensor = call(other, x, *_arguments(layer), "add", 1.0, None, [], None)
    return out


def _arguments(layer: nn.Conv2d) -> tuple[Any, ...]:
    """Return what PyTorch's operators want to know of a layer."""
    sides = (list(side) for side in (layer.padding, layer.stride, layer.dilation))
    return (layer.weight, layer.bias, *sides, layer.groups)
