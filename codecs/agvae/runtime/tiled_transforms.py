"""g_a, h_a and g_s on whole images of any size: padding, bands and tiles for large ones.

These are the float parts. They touch neither the bitstream's syntax nor the entropy decoder, so
their rounding may differ between machines; files decode to the same latent all the same.
Latents are (H, W, M) float32, channels last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.config import (
    HYPER_STRIDE,
    STRIDE,
    Config,
    hyper_size,
    latent_size,
)
from bench.codecs.agvae.runtime.fused_conv import fused
from bench.codecs.agvae.runtime.row_streams import RowStream
from bench.image import Image
from bench.measurement.heap import large_arrays_kept

TILE = 72
"""Side of a tile's core in latent positions (1,152 pixels); larger images are cut into such."""

ANALYSIS_TILE = 120
"""Side of the largest picture in latent positions that g_a takes in one go."""

BAND = 1024
"""Latent positions in a band of a larger one: activations stay under the 32 MiB that a process
keeps when it frees them, and near the processor's caches."""


def reach(config: Config) -> int:
    """Return how many latent positions away g_a and g_s see, rounded up.

    Walks both stacks from the output inwards: a stride-2 convolution of size 5 turns r positions
    into 2 r + 2, a bottleneck adds 1, a pixel shuffle halves r and its convolution adds 1.
    """
    pixels = 2
    for depth in reversed(config.depth):
        pixels = 2 * (pixels + depth) + 2
    return max(-(-pixels // STRIDE), -(-_margins(config)[0] // 2) + 1)


def _margins(config: Config) -> list[int]:
    """Return how far g_s sees from within each stage, coarsest first, in that stage's positions."""
    found, needed = [0], 2
    for depth in config.depth:
        found.append(needed + depth)
        needed = -(-found[-1] // 2) + 1
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis: its core and the core with overlap, in latent positions."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int


def _spans(length: int, overlap: int, tile: int) -> list[Span]:
    """Cut an axis into equal cores of at most ``tile``."""
    count = -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    return [
        Span(start, stop, max(0, start - overlap), min(length, stop + overlap))
        for start, stop in pairwise(edges)
    ]


def tiles(height: int, width: int, overlap: int, tile: int) -> Iterator[tuple[Span, Span]]:
    """Yield rows and columns of each tile of a latent."""
    for rows in _spans(height, overlap, tile):
        for columns in _spans(width, overlap, tile):
            yield rows, columns


class Transforms:
    """The float networks of one set of weights, ready to run on images.

    A network is None where it is not wanted. ``precision`` is ``float32`` or ``bfloat16`` for g_a
    and g_s; ``tile`` is the side of a tile's core in latent positions, None: as above.
    """

    def __init__(
        self,
        config: Config,
        *,
        g_a: nn.Module | None = None,
        h_a: nn.Module | None = None,
        g_s: nn.Module | None = None,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
        tile: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.precision = precision
        self._tile, self._analysis_tile = tile or TILE, tile or ANALYSIS_TILE
        self._band = tile * tile if tile else BAND
        self._overlap, self._margins = reach(config), _margins(config)
        self._latent = config.latent
        self._g_a = self._ready(g_a, precision)
        self._g_s = self._ready(g_s, precision, winograd=True)  # no byte comes from it
        self._h_a = self._ready(h_a, torch.float32)

    def _ready(
        self, net: nn.Module | None, precision: torch.dtype, *, winograd: bool = False
    ) -> nn.Module:
        ready = nn.Identity() if net is None else net
        ready = ready.eval().requires_grad_(requires_grad=False).to(self.device, precision)
        moved: nn.Module = ready.to(memory_format=torch.channels_last)
        return fused(moved, winograd=winograd) if self.device.type == "cpu" else moved

    @torch.no_grad()
    def analyse(self, image: Image) -> Tensor:
        """Return y before any gain, (H, W, M) float32, from uint8 RGB."""
        height, width = latent_size(*image.shape[:2])
        if max(height, width) <= self._analysis_tile:
            out: Tensor = self._g_a(self._rgb(image, 0, height)).float()
            return out[0].permute(1, 2, 0).contiguous()
        y = torch.empty(height, width, self._latent, device=self.device)
        stream, done = RowStream(self._g_a), 0
        rows = max(1, self._band // width)
        edges = [0, *range(self._overlap + rows, height, rows), height]
        for start, stop in pairwise(edges):
            out = stream.push(self._rgb(image, start, stop), last=stop == height)
            y[done : done + out.shape[2]] = out[0].permute(1, 2, 0)
            done += out.shape[2]
        return y

    def _rgb(self, image: Image, start: int, stop: int) -> Tensor:
        """Return rows of an image, (1, 3, 16 h, 16 w) from -0.5 to 0.5; its edge is repeated.

        ``start`` and ``stop`` are latent rows.
        """
        part = image[start * STRIDE : stop * STRIDE]
        below, right = (stop - start) * STRIDE - part.shape[0], -part.shape[1] % STRIDE
        padded = np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
        rgb = torch.from_numpy(padded).to(self.device)
        return rgb[None].permute(0, 3, 1, 2).to(self.precision).div_(255).sub_(0.5)

    @torch.no_grad()
    def hyper_analyse(self, y: Tensor) -> Tensor:
        """Return z before its gain, (h, w, hyper) float32, from the gained y."""
        return self.hyper_analyse_batch(y[None])[0]

    @torch.no_grad()
    def hyper_analyse_batch(self, y: Tensor) -> Tensor:
        """Return z before its gain, (B, h, w, hyper) float32, from the gained y (B, H, W, M).

        y is repeated at its lower and right edge up to whole hyper positions.
        """
        height, width = hyper_size(*y.shape[1:3])
        x = y.permute(0, 3, 1, 2)
        below, right = height * HYPER_STRIDE - y.shape[1], width * HYPER_STRIDE - y.shape[2]
        if below or right:
            x = nn.functional.pad(x, (0, right, 0, below), mode="replicate")
        out: Tensor = self._h_a(x)
        return out.permute(0, 2, 3, 1)

    @torch.no_grad()
    def synthesise(self, y: Tensor, size: tuple[int, int]) -> Image:
        """Return uint8 RGB of ``size`` (rows, columns) from y after its inverse gain, (H, W, M)."""
        height, width = y.shape[:2]
        image = np.empty((height * STRIDE, width * STRIDE, 3), np.uint8)
        several = max(height, width) > self._tile
        with large_arrays_kept() if several else nullcontext():
            for rows, columns in tiles(height, width, self._overlap, self._tile):
                image[
                    rows.start * STRIDE : rows.stop * STRIDE,
                    columns.start * STRIDE : columns.stop * STRIDE,
                ] = self._synthesise_tile(y, rows, columns).cpu().numpy()
        return np.ascontiguousarray(image[: size[0], : size[1]])

    def _synthesise_tile(self, y: Tensor, rows: Span, columns: Span) -> Tensor:
        """Return g_s of a tile's core, uint8 RGB (16 h, 16 w, 3), from y with overlap.

        After each stage the overlap is cut to what the rest of the network sees: the last stages,
        the dearest, then compute little beside the core. A picture of one tile has none to cut.
        """
        outer = y[rows.outer_start : rows.outer_stop, columns.outer_start : columns.outer_stop]
        x = outer.permute(2, 0, 1)[None].to(self.precision)
        edges = [span.start - span.outer_start for span in (rows, columns)]
        edges += [span.outer_stop - span.stop for span in (rows, columns)]
        margins = iter(self._margins)
        for layer in self._g_s.children():
            x = layer(x)
            if isinstance(layer, nn.Sequential):  # twice as many positions
                margin = next(margins)
                top, left, below, right = (max(0, 2 * edge - margin) for edge in edges)
                edges = [min(2 * edge, margin) for edge in edges]
                x = x[..., top : x.shape[2] - below, left : x.shape[3] - right]
                x = x.contiguous(memory_format=torch.channels_last)
        rgb = x.float()[0].permute(1, 2, 0).add(0.5).mul_(255).round_().clamp_(0, 255)
        return rgb.to(torch.uint8)


def core(out: Tensor, rows: Span, columns: Span, scale: int = 1) -> Tensor:
    """Return the core of a tile's output (1, C, H, W) as (h, w, C)."""
    top = (rows.start - rows.outer_start) * scale
    left = (columns.start - columns.outer_start) * scale
    height = (rows.stop - rows.start) * scale
    width = (columns.stop - columns.start) * scale
    return out[0, :, top : top + height, left : left + width].permute(1, 2, 0)
