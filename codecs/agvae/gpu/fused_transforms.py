"""g_a and g_s with everything element-wise fused: 1x1 convolutions are matrix products.

Activations are (B, h, w, C), contiguous. A bottleneck is a product with bias and ReLU inside, a
3x3 convolution, a pass for its bias and ReLU, and a product that adds to its input in place. The
pass also writes a channel of ones, so that the last product brings its bias along.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.codecs.agvae.gpu.kernels import pixels as kernels
from bench.codecs.agvae.model.layers import Bottleneck


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """A bottleneck: products (C, C/2) and (C/2 + 8, C), the 3x3 convolution between them."""

    enter: Tensor
    enter_bias: Tensor
    middle: Tensor
    middle_bias: Tensor
    leave: Tensor

    def __call__(self, x: Tensor) -> None:
        """Add to (B, h, w, C) in place."""
        flat = x.view(-1, x.shape[3])
        inner = torch._addmm_activation(self.enter_bias, flat, self.enter)  # noqa: SLF001
        inner = convolved(inner.view(*x.shape[:3], -1), self.middle, padding=1)
        wide = inner.new_empty(len(flat), inner.shape[3] + 8)
        kernels.rectify[_grid(wide)](
            inner, self.middle_bias, wide, wide.numel(),
            CHANNELS=inner.shape[3], BLOCK=kernels.BLOCK,
        )  # fmt: skip
        flat.addmm_(wide, self.leave)


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """A convolution that changes the resolution, and the bottlenecks behind it."""

    weight: Tensor
    bias: Tensor
    blocks: tuple[_Block, ...]


class Analysis:
    """g_a, from ``model.analysis`` with its float32 weights: uint8 pixels to y."""

    def __init__(self, net: nn.Sequential, device: torch.device, precision: torch.dtype) -> None:
        self._precision = precision
        self._stages = [
            _stage(conv, blocks, device, precision, cells=i == 0)
            for i, (conv, blocks) in enumerate(_stages(net))
        ]

    def __call__(self, rgb: Tensor, size: tuple[int, int]) -> Tensor:
        """Return y, (B, H, W, M), of uint8 (B, rows, columns, 3).

        ``size`` is rows and columns after padding: multiples of 16.
        """
        batch, rows, columns, _ = rgb.shape
        height, width = size[0] // 2, size[1] // 2
        shape = (batch, height, width, int(kernels.PADDED))
        x = torch.empty(shape, dtype=self._precision, device=rgb.device)
        kernels.cells[_grid(x)](
            rgb, x, x.numel(), rows, columns, height, width, BLOCK=kernels.BLOCK
        )
        for i, stage in enumerate(self._stages):
            stride, padding = (1, 1) if i == 0 else (2, 2)  # the first sees cells
            x = convolved(x, stage.weight, stride, padding)
            kernels.add_bias[_grid(x)](
                x, stage.bias, x.numel(), CHANNELS=x.shape[3], BLOCK=kernels.BLOCK
            )
            for block in stage.blocks:
                block(x)
        return x


class Synthesis:
    """g_s, from ``model.synthesis`` with its float32 weights: y to uint8 pixels."""

    def __init__(self, net: nn.Sequential, device: torch.device, precision: torch.dtype) -> None:
        self._stages = [
            _stage(conv, blocks, device, precision, shuffled=True) for conv, blocks in _stages(net)
        ]

    def __call__(self, y: Tensor, rgb: Tensor) -> None:
        """Fill uint8 (B, rows, columns, 3), cropped, from y (B, H, W, M)."""
        x = y
        *stages, last = self._stages
        for stage in stages:
            product = convolved(x, stage.weight, padding=stage.weight.shape[2] // 2)
            batch, height, width, channels = product.shape
            x = product.new_empty(batch, 2 * height, 2 * width, channels // 4)
            kernels.shuffle[_grid(x)](
                product, stage.bias, x, x.numel(), width,
                CHANNELS=channels // 4, BLOCK=kernels.BLOCK,
            )  # fmt: skip
            for block in stage.blocks:
                block(x)
        product = convolved(x, last.weight, padding=last.weight.shape[2] // 2)
        kernels.paint[_grid(rgb)](
            product, last.bias, rgb, rgb.numel(), *rgb.shape[1:3], *product.shape[1:3],
            BLOCK=kernels.BLOCK,
        )  # fmt: skip


def convolved(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Return (B, h, w, O) of (B, h, w, C), without a bias."""
    out = nn.functional.conv2d(x.permute(0, 3, 1, 2), weight, None, stride, padding)
    return out.permute(0, 2, 3, 1).contiguous()  # no copy where the library kept the layout


def _stages(net: nn.Sequential) -> list[tuple[nn.Conv2d, list[Bottleneck]]]:
    """Return each convolution that changes the resolution, with the bottlenecks behind it."""
    found: list[tuple[nn.Conv2d, list[Bottleneck]]] = []
    for module in net:
        if isinstance(module, Bottleneck):
            found[-1][1].append(module)
            continue
        conv = module[0] if isinstance(module, nn.Sequential) else module
        assert isinstance(conv, nn.Conv2d)
        found.append((conv, []))
    return found


@torch.no_grad()
def _stage(
    conv: nn.Conv2d,
    bottlenecks: list[Bottleneck],
    device: torch.device,
    precision: torch.dtype,
    *,
    cells: bool = False,
    shuffled: bool = False,
) -> _Stage:
    """Return a stage ready to run; ``cells``: on 2x2 cells, ``shuffled``: before a shuffle."""
    weight, bias = conv.weight.float(), _bias(conv)
    if cells:
        weight = _on_cells(weight)
    if shuffled:  # from channel 4 c + d to channel d C + c, which makes the shuffle a copy of rows
        order = torch.arange(len(weight)).reshape(-1, 4).T.reshape(-1)
        weight, bias = weight[order], bias[order]

    def layout(tensor: Tensor) -> Tensor:
        return tensor.to(device, precision).contiguous(memory_format=torch.channels_last)

    blocks = [
        _Block(
            _matrix(block.body[0]).to(device, precision),
            _bias(block.body[0]).to(device, precision),
            layout(_kernel(block.body[2])),
            _bias(block.body[2]).to(device),
            _with_bias(block.body[4]).to(device, precision),
        )
        for block in bottlenecks
    ]
    return _Stage(layout(weight), bias.to(device), tuple(blocks))


def _on_cells(weight: Tensor) -> Tensor:
    """Return the 3x3 kernel on 2x2 cells that does what a 5x5 one of stride 2 does on pixels.

    Output o sees pixels 2 o - 2 to 2 o + 2: cells o - 1 to o + 1, but for the last row and column.
    """
    outputs, colours = weight.shape[:2]
    padded = nn.functional.pad(weight, (0, 1, 0, 1))
    split = padded.reshape(outputs, colours, 3, 2, 3, 2)  # o, c, cell row, a, cell column, b
    out = split.permute(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * colours, 3, 3)
    return nn.functional.pad(out, (0, 0, 0, 0, 0, int(kernels.PADDED) - 4 * colours))


def _bias(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.bias.float()


def _with_bias(conv: nn.Module) -> Tensor:
    """Return a 1x1 convolution as a matrix (inputs + 8, outputs) for inputs that end in ones."""
    matrix, bias = _matrix(conv), _bias(conv)
    return torch.cat((matrix, bias[None], matrix.new_zeros(7, len(bias))))


def _kernel(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return conv.weight.float()


def _matrix(conv: nn.Module) -> Tensor:
    """Return a 1x1 convolution as a matrix (inputs, outputs)."""
    return _kernel(conv)[:, :, 0, 0].T.contiguous()


def _grid(x: Tensor) -> tuple[int]:
    return (-(-x.numel() // kernels.BLOCK),)
