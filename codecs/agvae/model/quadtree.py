"""Who is decoded when: the quadtree partition of the latent (4 passes, no sequential pixel loop).

The four positions of every 2x2 cell are classes 0..3 in raster order. The channels are four
groups. In each pass a class decodes one group, a different one for each class, so that every pass
spreads over all positions and all channels; after four passes everything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.codecs.agvae.model.config import PASSES

CLASSES: Final = ((0, 0), (0, 1), (1, 0), (1, 1))
"""(row, column) parity of each position class."""

# Round the cell: (0,0), (0,1), (1,1), (1,0). A pass and its successor sit on a diagonal.
_CYCLE: Final = (0, 1, 3, 2)
_VISIT: Final = (0, 2, 1, 3)


def group(pass_index: int, position_class: int) -> int:
    """Return the channel group, 0..3, that a class decodes in a pass."""
    return (_VISIT[pass_index] - _CYCLE[position_class]) % PASSES


def parts(pass_index: int, channels: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield channels, rows and columns that a pass decodes of a latent, a position class each."""
    quarter = channels // PASSES
    for position_class, (row, column) in enumerate(CLASSES):
        first = group(pass_index, position_class) * quarter
        yield slice(first, first + quarter), slice(row, None, 2), slice(column, None, 2)


def head_rows(pass_index: int, position_class: int, channels: int) -> list[int]:
    """Return which outputs of a pass's head a class needs: mu, left and right of one group."""
    quarter = channels // PASSES
    first = group(pass_index, position_class) * quarter
    return [kind * channels + first + i for kind in range(3) for i in range(quarter)]
