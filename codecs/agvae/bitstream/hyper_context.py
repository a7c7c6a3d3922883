"""What decoded parts of z say about the next part: which table codes each of its symbols.

z is coded in parts: position classes in the order of ``CLASSES`` and, in each, four groups of
channels. Two linear predictions, of a symbol's value and of its magnitude, are made from what is
decoded of the neighbours (all channels) and of the position itself (earlier groups). Cut by
thresholds they are the symbol's context, and with level and channel that chooses one of a few
hundred tables. ``ENTROPY.md`` section 1.7 is the specification.

Everything is an integer: features and weights are so small that float32 sums are exact in any
order, on any device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.codecs.agvae.bitstream.coding_tables import GROUPS, MAGNITUDES_LIMIT, CodingTables

CLASSES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Row and column parity of the position classes in the order in which they are coded."""
SUM_LIMIT = 8
"""A sum of neighbours is held to this magnitude, a sum of their magnitudes to 12."""
OWN_LIMIT = 4
"""A symbol of an earlier group at the same position is held to this magnitude."""
STEPS = 128
"""Predictions are in steps of 1/128."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part lies in z, (B, h, w, hyper).

    Attributes
    ----------
    rows, columns, channels
        Slices.
    position_class, group
        Their indices.
    """

    rows: slice
    columns: slice
    channels: slice
    position_class: int
    group: int


def parts(hyper: int) -> Iterator[Part]:
    """Yield the parts of z in coding order, for so many channels."""
    share = hyper // GROUPS
    for index, (row, column) in enumerate(CLASSES):
        for group in range(GROUPS):
            channels = slice(group * share, (group + 1) * share)
            yield Part(slice(row, None, 2), slice(column, None, 2), channels, index, group)


def places(hyper: int, group: int) -> tuple[list[int], list[int]]:
    """Return the rows and columns of ``z_weights`` that predict a group, for so many channels.

    Rows are sums of values and of magnitudes, (2 C), values and magnitudes of the symbols of the
    first three groups, (2 * 3/4 C), and a one. Columns are values, then magnitudes, (2 C).
    """
    share = hyper // GROUPS
    own, most = range(group * share), hyper - share
    first = [2 * hyper + i for i in own]
    rows = [*range(2 * hyper), *first, *(i + most for i in first), 2 * (hyper + most)]
    columns = list(range(group * share, (group + 1) * share))
    return rows, [*columns, *(hyper + i for i in columns)]


def features(z: Tensor, part: Part) -> Tensor:
    """Return what is known where a part lies, float32 (B, h, w, F); all integers.

    F = 2 C + 2 k + 1 for C channels, k of them in earlier groups: sums over the decoded
    neighbours, sums of their magnitudes, the position's own symbols, their magnitudes, and a one.

    Parameters
    ----------
    z
        int32 (B, h, w, C); only what is decoded is read.
    part
        The next part.
    """
    here = z[:, part.rows, part.columns]
    size = (here.shape[1], here.shape[2])
    values = torch.zeros_like(here, dtype=torch.float32)
    magnitudes = torch.zeros_like(values)
    if part.position_class:
        padded = functional.pad(z.float(), (0, 0, 1, 1, 1, 1))
        for neighbour in _neighbours(part, padded, size):
            values += neighbour
            magnitudes += neighbour.abs()
    own = here[..., : part.channels.start].float().clamp_(-OWN_LIMIT, OWN_LIMIT)
    values.clamp_(-SUM_LIMIT, SUM_LIMIT)
    magnitudes.clamp_(max=MAGNITUDES_LIMIT)
    one = torch.ones_like(values[..., :1])
    return torch.cat((values, magnitudes, own, own.abs(), one), 3)


def _neighbours(part: Part, padded: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield the four decoded neighbours of a part's positions, 0 beyond the border."""
    row, column = CLASSES[part.position_class]
    corners = ((-1, -1), (-1, 1), (1, -1), (1, 1))
    sides = ((-1, 0), (1, 0), (0, -1), (0, 1))
    for down, right in corners if part.position_class == 1 else sides:
        rows = slice(row + 1 + down, row + 1 + down + 2 * size[0] - 1, 2)
        columns = slice(column + 1 + right, column + 1 + right + 2 * size[1] - 1, 2)
        yield padded[:, rows, columns]


@dataclass(frozen=True, slots=True, eq=False)
class HyperContext:
    """The predictions of one network's z and the tables that they choose.

    Attributes
    ----------
    weights
        Of position classes without and with neighbours, and in each of the groups: float32
        (F, C / 2), columns for the values of the group's channels, then for their magnitudes.
    value_thresholds, magnitude_thresholds
        Rising, float32, in steps of 1/128.
    index
        uint8 (levels, contexts, C): the table. The last context is that of the first part.
    lowest
        Level of the first row of ``index``.
    """

    weights: tuple[tuple[Tensor, ...], ...]
    value_thresholds: Tensor
    magnitude_thresholds: Tensor
    index: Tensor
    lowest: int

    @staticmethod
    def of_tables(tables: CodingTables) -> HyperContext | None:
        """Return what chooses among the counted tables of z; None: there are none."""
        if tables.counted is None:
            return None
        arrays = {name: np.array(one) for name, one in tables.counted.items() if name[0] == "z"}
        tensors = {name: torch.from_numpy(one) for name, one in arrays.items()}
        return HyperContext.of(tensors, tables.lowest)

    @staticmethod
    def of(tensors: Mapping[str, Tensor], lowest: int) -> HyperContext:
        """Return what tensors of ``coding_tables.py`` say; lowest: level of the first row."""
        whole = tensors["z_weights"].float()

        def of_group(kind: int, group: int) -> Tensor:
            rows, columns = places(whole.shape[2] // 2, group)
            return whole[kind][rows][:, columns].contiguous()

        return HyperContext(
            tuple(tuple(of_group(kind, group) for group in range(GROUPS)) for kind in range(2)),
            tensors["z_value_thresholds"].float(),
            tensors["z_magnitude_thresholds"].float(),
            tensors["z_index"],
            lowest,
        )

    def to(self, device: torch.device) -> HyperContext:
        """Return it on a device."""
        return HyperContext(
            tuple(tuple(one.to(device) for one in kind) for kind in self.weights),
            self.value_thresholds.to(device),
            self.magnitude_thresholds.to(device),
            self.index.to(device),
            self.lowest,
        )

    def row(self, level_steps: int) -> int:
        """Return the row of ``index`` for a level in steps of 1/256: the nearest, halves up."""
        level = (level_steps + 128) // 256
        return min(max(level - self.lowest, 0), self.index.shape[0] - 1)

    def contexts(self, z: Tensor, part: Part) -> Tensor:
        """Return the context of each symbol of a part, int64 (B, h, w, C / 4).

        Parameters
        ----------
        z
            int32 (B, h, w, C), filled where earlier parts lie.
        part
            The part.
        """
        if part.position_class == 0 and part.group == 0:
            here = z[:, part.rows, part.columns, part.channels]
            return torch.full_like(here, self.index.shape[1] - 1, dtype=torch.int64)
        weights = self.weights[min(part.position_class, 1)][part.group]
        value, magnitude = (features(z, part) @ weights).chunk(2, 3)
        column = torch.bucketize(value.contiguous(), self.value_thresholds, right=True)
        row = torch.bucketize(magnitude.contiguous(), self.magnitude_thresholds, right=True)
        return row * (len(self.value_thresholds) + 1) + column

    def tables(self, z: Tensor, part: Part, rows: Tensor) -> Tensor:
        """Return the table of each symbol of a part, int64 (B, h, w, C / 4).

        ``rows`` holds the row of ``index`` for each image, int64 (B,).
        """
        contexts = self.contexts(z, part)
        channels = torch.arange(part.channels.start, part.channels.stop, device=z.device)
        return self.index[rows[:, None, None, None], contexts, channels].long()
