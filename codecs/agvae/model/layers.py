"""The blocks that the transforms and the entropy networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.125
"""Of every leaky ReLU before the entropy coder: a power of two, exact in fixed point."""


class Bottleneck(nn.Module):
    """x + conv1(relu(conv3(relu(conv1 x)))) at half the width (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, half, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``, (B, C, H, W)."""
        out: Tensor = x + self.body(x)
        return out


class DepthBlock(nn.Module):
    """Two residuals: 1x1, depthwise 3x3, 1x1; then a 1x1 feed-forward of twice the width."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        self.dc = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, channels * expansion, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels * expansion, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``, (B, C, H, W)."""
        x = x + self.dc(x)
        out: Tensor = x + self.ffn(x)
        return out


def down(inputs: int, outputs: int, kernel: int = 5) -> nn.Conv2d:
    """Return a convolution that halves each side."""
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)


def up(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Return a convolution and pixel shuffle that double each side (Shi et al. 2016)."""
    conv = nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2)
    return nn.Sequential(conv, nn.PixelShuffle(2))


def bottlenecks(channels: int, count: int) -> list[nn.Module]:
    """Return ``count`` bottleneck blocks."""
    return [Bottleneck(channels) for _ in range(count)]


class _LowerBound(torch.autograd.Function):
    """max(x, bound) whose gradient still flows where it would push x up (Balle et al. 2018)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound  # type: ignore[attr-defined]
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        passes = (x >= ctx.bound) | (grad < 0)  # type: ignore[attr-defined]
        return grad * passes, None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """Return max(x, bound), with a gradient that lets x climb back above the bound."""
    out: Tensor = _LowerBound.apply(x, bound)
    return out
