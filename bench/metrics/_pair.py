"""What every metric asks of its two images."""

from __future__ import annotations

from bench.errors import MetricError
from bench.image import Image


def require_same_shape(shape: tuple[int, ...], decoded: Image) -> None:
    """Refuse a decoded image whose shape is not the reference's.

    Raises
    ------
    MetricError
        If the shapes differ.
    """
    if decoded.shape != shape:
        raise MetricError(
            f"cannot compare images of different shapes: reference {shape}, decoded {decoded.shape}"
        )
