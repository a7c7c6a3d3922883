"""The exact entropy networks on a device: matrix products by the library, the rest fused.

The results are those of ``exact.ExactEntropyNetworks``, integer by integer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import index_table
from bench.codecs.agvae.gpu.kernels import layers
from bench.codecs.agvae.integer import fixed_point
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks
from bench.codecs.agvae.integer.fixed_point import Affine
from bench.codecs.agvae.model.config import PASSES, Config
from bench.codecs.agvae.model.layers import SLOPE
from bench.codecs.agvae.model.quadtree import CLASSES, group, parts

MAX_POSITIONS = 1 << 17
"""Latent positions of a batch that are computed at once (33 megapixels, 3 GB of activations)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Batch, rows and columns of a latent."""

    batch: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        """Latent positions of the batch."""
        return self.batch * self.height * self.width

    @property
    def class_positions(self) -> list[int]:
        """Positions of each class in the batch."""
        return [
            self.batch * ((self.height + 1 - row) // 2) * ((self.width + 1 - column) // 2)
            for row, column in CLASSES
        ]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Where a pass's predictions go; N = H W M / 4 symbols in coding order.

    Attributes
    ----------
    mu
        Modes in steps, float32 (B, N).
    left, right
        Log-scales in steps, int16 (B, N); not written where ``finder`` is given.
    contexts
        int32 (B, any): the tables, in row b from ``first`` on.
    first
        See ``contexts``.
    finder
        ``Lookup.finder``, if ``contexts`` are to hold finders instead.
    """

    mu: Tensor
    left: Tensor
    right: Tensor
    contexts: Tensor
    first: int = 0
    finder: Tensor | None = None


class FusedNetworks(ExactEntropyNetworks):
    """``ExactEntropyNetworks`` for batches that fit into memory at once.

    psi and y_hat share one float64 tensor (positions, 2 M), so that a pass begins with one product.
    Symbols of a pass are in coding order, (batch, N): by class, row, column, channel.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], config: Config, device: str | torch.device
    ) -> None:
        super().__init__(tensors, config, device)
        self._indices = torch.from_numpy(index_table()[1]).to(self.device)
        self._head_bias = [torch.stack([head.bias for head in heads]) for heads in self._head]
        self._groups = [
            torch.tensor([group(k, c) for c in range(len(CLASSES))], dtype=torch.int32).to(
                self.device
            )
            for k in range(PASSES)
        ]

    def gains(self, level_steps: Sequence[int]) -> Tensor:
        """Return the inverse gains of z, float64 (B, hyper), on the CPU, in steps of 2^-12."""
        rows = [self.inverse_hyper_gain(level) for level in level_steps]
        return torch.tensor(rows, dtype=torch.float64)

    @torch.no_grad()
    def begin(self, z_hat: Tensor, gain: Tensor, latent: Tensor, shape: Shape) -> None:
        """Write what is known before the first pass into ``latent``: psi, and zeros for y_hat.

        All on the device: ``z_hat`` is int32 (B, h, w, hyper), ``gain`` float64 (B, hyper) from
        ``gains``, ``latent`` float64 (positions, 2 M).
        """
        bound = fixed_point.LIMIT / fixed_point.STEP
        z = z_hat.double().clamp_(-bound, bound).mul_(gain[:, None, None])
        x = fixed_point.requantise(
            z.mul_(2.0 ** (fixed_point.ACTIVATION_BITS - fixed_point.WEIGHT_BITS))
        )
        x = self._out(self._up2(self._up1(x, SLOPE), SLOPE))
        m = self.config.latent
        grid = latent.view(shape.batch, shape.height, shape.width, 2 * m)
        grid[..., :m].copy_(x[:, : shape.height, : shape.width])
        grid[..., m:].zero_()

    def y_hat(self, latent: Tensor, shape: Shape) -> Tensor:
        """Return y_hat, (B, H, W, M) float32 in steps."""
        m = self.config.latent
        return latent[:, m:].float().view(shape.batch, shape.height, shape.width, m)

    @torch.no_grad()
    def predict(self, k: int, latent: Tensor, shape: Shape, out: Prediction) -> None:
        """Write what pass k says about its symbols to ``out``; ``latent`` holds earlier passes."""
        product = self._heads(k, self._trunk_output(k, latent, shape), shape)
        layers.parameters[_grid(out.mu)](
            product, self._head_bias[k], self._indices,
            self._indices if out.finder is None else out.finder,
            out.mu, out.left, out.right, out.contexts, out.mu.numel(),
            shape.batch, shape.height, shape.width, out.contexts.stride(0), out.first,
            QUARTER=self.config.quarter, TIED=not self.config.asymmetric,
            FIND=out.finder is not None, BLOCK=layers.BLOCK,
        )  # fmt: skip

    def put(
        self, k: int, symbols: Tensor, mu: Tensor, latent: Tensor, shape: Shape, first: int = 0
    ) -> None:
        """Put symbols of pass k, int32 (B, any) from ``first`` on, and its mu into ``latent``."""
        layers.reconstruct[_grid(mu)](
            symbols, mu, self._groups[k], latent,
            mu.numel(), shape.height, shape.width, symbols.stride(0), first,
            QUARTER=self.config.quarter, BLOCK=layers.BLOCK,
        )  # fmt: skip

    def in_coding_order(self, k: int, y: Tensor) -> Tensor:
        """Return the elements of (B, H, W, M) that pass k codes, (B, N)."""
        places = parts(k, self.config.latent)
        pieces = [y[:, rows, columns, channels].flatten(1) for channels, rows, columns in places]
        return torch.cat(pieces, 1)

    def _trunk_output(self, k: int, latent: Tensor, shape: Shape) -> Tensor:
        """Return what the heads of a pass read, (positions, M), ordered by class."""
        mix = self._mix[k]
        x = torch.mm(latent[:, : mix.weight.shape[0]], mix.weight)
        _requantise(x, mix, leak=False)
        inner, product, ordered = (torch.empty_like(x) for _ in range(3))
        for i, block in enumerate(self._trunk):
            torch.mm(x, block.enter.weight, out=product)
            layers.depthwise[_grid(x)](
                product, block.enter.bias, block.depthwise.weight, block.depthwise.bias, inner,
                x.numel(), shape.height, shape.width, CHANNELS=x.shape[1], BLOCK=layers.BLOCK,
            )  # fmt: skip
            torch.mm(inner, block.leave.weight, out=product)
            _add(x, product, block.leave, x, shape)
            wide = torch.mm(x, block.widen.weight)
            _requantise(wide, block.widen, leak=True)
            torch.mm(wide, block.narrow.weight, out=product)
            last = i == len(self._trunk) - 1
            _add(x, product, block.narrow, ordered if last else x, shape, by_class=last)
        return ordered

    def _heads(self, k: int, x: Tensor, shape: Shape) -> Tensor:
        """Return the heads' products, (positions, 3 M / 4), ordered by class."""
        out = torch.empty(len(x), 3 * self.config.quarter, dtype=x.dtype, device=x.device)
        first = 0
        for head, count in zip(self._head[k], shape.class_positions, strict=True):
            rows = slice(first, first + count)
            if count:
                torch.mm(x[rows], head.weight, out=out[rows])
            first += count
        return out


def _grid(x: Tensor) -> tuple[int]:
    return (-(-x.numel() // layers.BLOCK),)


def _requantise(x: Tensor, affine: Affine, *, leak: bool) -> None:
    layers.requantise[_grid(x)](
        x, affine.bias, x.numel(), CHANNELS=x.shape[1], LEAK=leak, BLOCK=layers.BLOCK
    )


def _add(
    x: Tensor, product: Tensor, affine: Affine, out: Tensor, shape: Shape, *, by_class: bool = False
) -> None:
    layers.add[_grid(x)](
        x, product, affine.bias, out, x.numel(), shape.batch, shape.height, shape.width,
        CHANNELS=x.shape[1], BY_CLASS=by_class, BLOCK=layers.BLOCK,
    )  # fmt: skip
