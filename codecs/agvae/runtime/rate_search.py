"""Finding the level that gives a wanted rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_MAX_ENCODES = 16


def search(
    rate_of: Callable[[int], float], levels: Sequence[int], target: float, tolerance: float
) -> int:
    """Return the level whose rate comes nearest to ``target``, by a bracketed secant in log rate.

    Parameters
    ----------
    rate_of
        Level -> rate, positive, rising with the level but for small ripples; called once a level.
    levels
        Candidates in rising order.
    target
        Wanted rate, positive.
    tolerance
        Relative distance at which the search stops.
    """
    errors: dict[int, float] = {}

    def error(index: int) -> float:
        if index not in errors:
            errors[index] = math.log(rate_of(levels[index]) / target)
        return errors[index]

    low, high = 0, len(levels) - 1
    while high - low > 1 and len(errors) < _MAX_ENCODES:
        if low in errors and high in errors:
            span = error(high) - error(low)
            share = -error(low) / span if span > 0 else 0.5
            # Stay off the ends, so that the bracket shrinks even where the secant is wrong.
            middle = low + min(max(round(share * (high - low)), 1), high - low - 1)
        else:
            middle = (low + high) // 2
        if abs(math.expm1(error(middle))) <= tolerance:
            break
        if error(middle) < 0:
            low = middle
            error(high)
        else:
            high = middle
            error(low)
    if not errors or min(abs(math.expm1(e)) for e in errors.values()) > tolerance:
        error(low)
        error(high)
    return levels[min(errors, key=lambda index: abs(errors[index]))]
