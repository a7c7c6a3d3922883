"""What the entropy decoder computes, in exact arithmetic: h_s, context passes, table indices.

Tensors are (B, H, W, C) and hold integer numbers of 2^-8 steps. Those that are kept between calls
(psi and y_hat) are float32, which is exact for them: they saturate at 2^22 steps.
Work goes in strips of rows, so that memory does not grow with the image; results do not depend on
the strips, because every sum is exact and strips overlap by the reach of the trunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from bench.codecs.agvae.integer import fixed_point, int16_matmul
from bench.codecs.agvae.integer.fixed_point import LIMIT, STEP, Affine, Conv3, Depthwise
from bench.codecs.agvae.model.config import PASSES, Config
from bench.codecs.agvae.model.layers import SLOPE
from bench.codecs.agvae.model.quadtree import CLASSES, head_rows, parts
from bench.codecs.agvae.threads import at_once, count

T = TypeVar("T")

STRIP_POSITIONS = 16384
"""Latent positions that one strip holds at most (unless one pair of rows is wider).

Of few rows, strips would compute those between them often; of more, a tensor of activations, 16 MiB
here, would be new memory of the system's each time.
"""

BLOCK_POSITIONS = 512
"""Positions whose activations and sums, some MB, stay in a core's cache from layer to layer."""

LEVEL_STEPS = 256
"""Steps per level: levels are coded as integers, level * 256."""


@dataclass(frozen=True, slots=True)
class Quarter:
    """What one pass says about one position class: a quarter of the channels there.

    Attributes
    ----------
    rows, columns, channels
        Where it lies in the latent (B, H, W, M).
    mu
        Mode in steps, (B, h, w, M / 4) float32.
    left, right
        Log-scales in steps, int16, of that shape.
    """

    rows: slice
    columns: slice
    channels: slice
    mu: Tensor
    left: Tensor
    right: Tensor


class _Block:
    """``layers.DepthBlock`` on the grid."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        self.enter = _pointwise(tensors, f"{prefix}.dc.0")
        self.depthwise = Depthwise(*_pair(tensors, f"{prefix}.dc.2"))
        self.leave = _pointwise(tensors, f"{prefix}.dc.3")
        self.widen = _pointwise(tensors, f"{prefix}.ffn.0")
        self.narrow = _pointwise(tensors, f"{prefix}.ffn.2", leaky=True)

    def __call__(self, x: Tensor, rows: slice) -> Tensor:
        """Return some rows of the result: (B, H, W, M) -> (B, rows, W, M)."""
        inner = _in_blocks(self.enter.leaky, x.reshape(-1, x.shape[3]))
        inner, x = self.depthwise(inner.reshape(x.shape))[:, rows], x[:, rows]
        flat = (part.reshape(-1, x.shape[3]) for part in (inner, x))
        return _in_blocks(self._leave, *flat).reshape(x.shape)

    def _leave(self, inner: Tensor, flat: Tensor) -> Tensor:
        """Return what follows the depthwise convolution, position by position: (N, M)."""
        flat = self.leave.plus(inner, flat)
        return self.narrow.plus(self.widen.leaky(flat), flat)


class ExactEntropyNetworks:
    """Hyper synthesis and context model of one set of weights, on one device.

    Parameters
    ----------
    tensors
        State-dict entries ``h_s.*``, ``context.*`` and, with gain, ``gain_z.log_inverse``.
    config
        Of the network they belong to.
    device
        Where to compute; results are the same anywhere.

    Raises
    ------
    ValueError
        If the weights are so large that sums might not be exact, or the device's are not.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], config: Config, device: str | torch.device = "cpu"
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        held = {name: tensor.to(self.device, torch.float64) for name, tensor in tensors.items()}
        self._log_inverse = fixed_point.log_table(held["gain_z.log_inverse"]) if config.gain else ()
        self._up1 = Conv3(*_pair(held, "h_s.0.0"), shuffle=True)
        self._up2 = Conv3(*_pair(held, "h_s.2.0"), shuffle=True, leaky=True)
        self._out = Conv3(*_pair(held, "h_s.4"), leaky=True)
        self._mix = [_pointwise(held, f"context.mix.{k}") for k in range(PASSES)]
        self._trunk = [_Block(held, f"context.trunk.{i}") for i in range(config.blocks)]
        self._head = [
            [_head(held, config, k, c) for c in range(len(CLASSES))] for k in range(PASSES)
        ]
        self._check_device(held)

    def _check_device(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuse a device whose float64 products are not exact (an emulation, say)."""
        if self.device.type == "cpu":
            return
        here = _pointwise(tensors, "context.mix.1")
        there = _pointwise({k: v.cpu() for k, v in tensors.items()}, "context.mix.1")
        # Pseudo-random activations over the whole range, by integer arithmetic.
        steps = torch.arange(64 * here.weight.shape[0], dtype=torch.float64)
        x = (steps * 2654435761 % (2 * LIMIT + 1) - LIMIT).reshape(64, -1)
        if not torch.equal(here(x.to(self.device)).cpu(), there(x)):
            raise ValueError(f"float64 products on {self.device} are not exact; decode on the CPU")

    def inverse_hyper_gain(self, level_steps: int) -> tuple[int, ...]:
        """Return the inverse gains of z at a level, in steps of 2^-12; ones without gain.

        Below level 0 the line through the logarithms at levels 0 and 1 goes on.
        """
        if not self.config.gain:
            return (1 << fixed_point.WEIGHT_BITS,) * self.config.hyper
        below = min(max(level_steps // LEVEL_STEPS, 0), self.config.levels - 2)
        share = level_steps - below * LEVEL_STEPS
        return fixed_point.exponential(
            self._log_inverse[below], self._log_inverse[below + 1], share
        )

    @torch.no_grad()
    def hyper_features(
        self, z_hat: Tensor, level_steps: Sequence[int], size: tuple[int, int]
    ) -> Tensor:
        """Return psi, (B, H, W, M) float32 in steps.

        Parameters
        ----------
        z_hat
            Decoded hyper-latent, integers of any type, (B, ceil(H / 4), ceil(W / 4), hyper).
        level_steps
            Level of each image of the batch, times 256.
        size
            H and W of the latent.
        """
        gains = [self.inverse_hyper_gain(level) for level in level_steps]
        gain = torch.tensor(gains, dtype=torch.float64, device=self.device)[:, None, None]
        z = z_hat.to(self.device, torch.float64).clamp_(-LIMIT / STEP, LIMIT / STEP)
        scaled = fixed_point.requantise(
            z * gain * 2.0 ** (fixed_point.ACTIVATION_BITS - fixed_point.WEIGHT_BITS)
        )
        height, width = size
        rows = _strip_rows(height, width, 4)
        tops = range(0, height, rows)
        return _joined(self._each(lambda top: self._hyper_strip(scaled, top, rows, size), tops))

    def _each(self, function: Callable[[int], T], tops: Iterable[int]) -> list[T]:
        """Return a function of every strip; on a CPU, of several at once."""
        return at_once(function, tops) if self.device.type == "cpu" else list(map(function, tops))

    def _hyper_strip(self, scaled: Tensor, top: int, rows: int, size: tuple[int, int]) -> Tensor:
        """Return some rows of psi from ``top`` on, a multiple of 4."""
        bottom, width = min(top + rows, size[0]), size[1]
        # Each 3x3 layer reaches 1 row further; what is beyond that is cut before the next one.
        whole = scaled.shape[1]
        rows_of_4 = max(0, top - 1), min(4 * whole, bottom + 1)
        rows_of_2 = _reached(rows_of_4, 2 * whole)
        first, last = _reached(rows_of_2, whole)
        x = self._up1(scaled[:, first:last], SLOPE)
        x = self._up2(x[:, rows_of_2[0] - 2 * first : rows_of_2[1] - 2 * first], SLOPE)
        x = self._out(x[:, rows_of_4[0] - 2 * rows_of_2[0] : rows_of_4[1] - 2 * rows_of_2[0]])
        return x[:, top - rows_of_4[0] : bottom - rows_of_4[0], :width].float()

    @torch.no_grad()
    def quarters(self, pass_index: int, psi: Tensor, y_hat: Tensor) -> Iterator[Quarter]:
        """Yield what a pass predicts, one position class after the other.

        Parameters
        ----------
        pass_index
            0 to 3.
        psi
            From ``hyper_features``.
        y_hat
            Decoded so far, (B, H, W, M) float32 in steps, zero elsewhere. Not read in pass 0, and
            only before the first quarter is yielded, so the caller may fill it while iterating.
        """
        batch, height, width, _ = psi.shape
        rows = _strip_rows(height, batch * width, 2)
        tops = range(0, height, rows)
        strips = self._each(lambda top: self._strip(pass_index, psi, y_hat, top, rows), tops)
        for c, (channels, of_rows, columns) in enumerate(parts(pass_index, self.config.latent)):
            pieces = zip(*[strip[c] for strip in strips], strict=True)
            mu, left, right = (_joined(piece) for piece in pieces)
            yield Quarter(of_rows, columns, channels, mu, left, right)

    def _strip(
        self, pass_index: int, psi: Tensor, y_hat: Tensor, top: int, rows: int
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return (mu, left, right) of each class in some rows from ``top`` on, both even."""
        bottom = min(top + rows, psi.shape[1])
        reach = len(self._trunk)  # each block's depthwise convolution sees one row further
        first, last = max(0, top - reach), min(psi.shape[1], bottom + reach)
        x = self._mixed(pass_index, psi[:, first:last], y_hat[:, first:last])
        for left, block in zip(reversed(range(reach)), self._trunk, strict=True):
            low, high = max(0, top - left), min(psi.shape[1], bottom + left)
            x = block(x, slice(low - first, high - first))
            first = low
        return [
            self._parameters(pass_index, c, x[:, row::2, column::2])
            for c, (row, column) in enumerate(CLASSES)
        ]

    def _mixed(self, pass_index: int, psi: Tensor, y_hat: Tensor) -> Tensor:
        """Return the input of the trunk, (B, h, W, M)."""
        known = psi if pass_index == 0 else torch.cat((psi, y_hat), 3)
        flat = known.reshape(-1, known.shape[3])
        return _in_blocks(self._mix[pass_index], flat).reshape(psi.shape)

    def _parameters(
        self, pass_index: int, position_class: int, x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, left and right of the quarter that a class decodes in a pass."""
        head = self._head[pass_index][position_class]
        out = head(x.reshape(-1, x.shape[3])).reshape(*x.shape[:3], 3, self.config.quarter)
        mu, left, right = out.unbind(3)
        if not self.config.asymmetric:
            left = right = torch.floor((left + right) * 0.5)
        return mu.float(), _log_steps(left), _log_steps(right)


def reconstruct(symbols: Tensor, mu: Tensor) -> Tensor:
    """Return y_hat = k + mu in steps, saturated: the same on both sides of the channel."""
    return (symbols.to(torch.float64) * STEP + mu).clamp_(-LIMIT, LIMIT).float()


def _strip_rows(height: int, width: int, multiple: int) -> int:
    """Return rows of a strip: one for each thread, unless they would be too large.

    Without products of 16 bits one for all: float64 products keep all threads busy by themselves,
    and strips compute the rows between them twice.
    """
    share = -(-height // count()) if int16_matmul.available() else height
    most = max(multiple, STRIP_POSITIONS // width // multiple * multiple)
    return min(most, max(multiple, -(-share // multiple) * multiple))


def _reached(rows: tuple[int, int], most: int) -> tuple[int, int]:
    """Return which of ``most`` rows a 3x3 layer and a pixel shuffle make some rows from."""
    return max(0, rows[0] // 2 - 1), min(most, -(-rows[1] // 2) + 1)


def _in_blocks(function: Callable[..., Tensor], *flat: Tensor) -> Tensor:
    """Return a function of positions, computed for as many at once as stay near a core.

    Without products of 16 bits for all at once, which float64 products prefer.
    """
    if flat[0].device.type != "cpu" or not int16_matmul.available():
        return function(*flat)
    blocks = zip(*(torch.split(part, BLOCK_POSITIONS) for part in flat), strict=True)
    return torch.cat([function(*block) for block in blocks])


def _joined(strips: Sequence[Tensor]) -> Tensor:
    """Return strips of rows as one tensor."""
    return strips[0] if len(strips) == 1 else torch.cat(tuple(strips), 1)


def _log_steps(log_scale: Tensor) -> Tensor:
    """Return log-scales as int16; the coder's thresholds lie well inside that range."""
    return log_scale.clamp(-32768, 32767).to(torch.int16)


def _pair(tensors: Mapping[str, Tensor], prefix: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{prefix}.weight"], tensors[f"{prefix}.bias"]


def _pointwise(tensors: Mapping[str, Tensor], prefix: str, *, leaky: bool = False) -> Affine:
    weight, bias = _pair(tensors, prefix)
    return Affine(weight[:, :, 0, 0].T, bias, leaky=leaky)


def _head(
    tensors: Mapping[str, Tensor], config: Config, pass_index: int, position_class: int
) -> Affine:
    """Return the rows of a head that one position class needs: mu, left, right of one group."""
    weight, bias = _pair(tensors, f"context.head.{pass_index}")
    rows = head_rows(pass_index, position_class, config.latent)
    return Affine(weight[rows, :, 0, 0].T, bias[rows])
