"""Sixteen numbers at once are what NumPy makes of arrays of 16, and never another precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_loops import in_python

from bench.image import machine_code, numba_jit, numba_lanes
from bench.image.numba_lanes import (
    doubles,
    load,
    minus_product,
    plus_product,
    shifted,
    store,
)

HALF, THREE, DOUBLE = np.float32(0.1), np.float32(3), 0.1
FOUR = np.uint64(4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one for machine code."""
    monkeypatch.setattr(machine_code, "folders", lambda: iter([tmp_path]))
    return tmp_path


@numba_jit.compiled
def everything(x: Any, y: Any, out: Any) -> None:
    """Use all that there is, with numbers on either side."""
    a, b = load(x, FOUR), load(y, 1)
    total = a * b - HALF * a / (b + THREE)
    total += THREE - shifted(a, b, 5) * HALF
    store(out, 2, total)


@numba_jit.compiled
def in_double(x: Any, y: Any, out: Any) -> None:
    """Do the same in float64."""
    a, b = doubles(load(x, FOUR)), load(y, 1)
    store(out, 2, DOUBLE * a - shifted(b, a, 16) / (b + DOUBLE))


@pytest.mark.parametrize(
    ("loop", "x", "y"),
    [
        (everything, np.uint8, np.float32),
        (everything, np.float32, np.uint8),
        (in_double, np.uint8, np.float64),
        (in_double, np.float32, np.float64),
    ],
)
def test_lanes_are_numpys(loop: Callable[..., None], x: type, y: type, rng: np.random.Generator):
    """The same bits in the 16 places, and nothing is written beside them."""
    first, second = (rng.integers(1, 256, 20).astype(kind) for kind in (x, y))
    found, wanted = np.full((2, 20), np.float32(7))
    loop(first, second, found)
    in_python(loop)(first, second, wanted)

    assert np.array_equal(wanted, found)
    assert [7, 7, 7, 7] == [*found[:2], *found[18:]]


@numba_jit.compiled
def products(x: Any, y: Any, out: Any) -> None:
    """Add and take away products, of 16 numbers and of one."""
    a, b = load(x, 0), load(y, 0)
    store(out, 0, plus_product(a, HALF, b))
    store(out, 16, minus_product(a, b, b))


def test_products_are_rounded_once_or_before_they_are_added(rng: np.random.Generator):
    """Once where the CPU has an instruction for that; never otherwise."""
    x, y = rng.standard_normal((2, 16), np.float32)
    found, separate = np.zeros((2, 32), np.float32)
    products(x, y, found)
    in_python(products)(x, y, separate)
    a, b = x.astype(float), y.astype(float)
    once = np.concatenate((a + float(HALF) * b, a - b * b)).astype(np.float32)

    assert any(np.array_equal(one, found) for one in (once, separate))
    assert not np.array_equal(once, separate)


@numba_jit.compiled
def rounded(x: Any) -> None:
    """Multiply float32 by a float64."""
    store(x, 0, load(x, 0) * DOUBLE)


@numba_jit.compiled
def rounded_product(x: Any) -> None:
    """Add such a product."""
    store(x, 0, plus_product(load(x, 0), load(x, 0), DOUBLE))


@pytest.mark.parametrize("loop", [rounded, rounded_product])
def test_a_number_of_another_precision_is_refused(loop: Callable[..., None]):
    """Sixteen float32 times a float64 would be rounded in silence."""
    from numba.core.errors import TypingError

    with pytest.raises(TypingError, match="lanes"):
        loop(np.ones(16, np.float32))


def test_other_instructions_are_other_code(folder: Path):
    """Code is kept by what instructions are made of as well, not by what they are in Python."""
    x = np.arange(16, dtype=np.float32)

    def negated() -> Callable[..., Any]:
        def negative(_: Any, lanes: Any) -> Any:
            return lanes(lanes), lambda _, builder, __, args: builder.fneg(args[0])

        return negative

    def kept() -> Callable[..., Any]:
        return lambda _, lanes: (lanes(lanes), lambda _, __, ___, args: args[0])

    for emit in (negated, kept):
        one = numba_jit.Intrinsic(lambda lanes: lanes, emit)
        space = {"load": load, "store": store, "one": one, "__name__": "loops"}
        exec("def turned(x): store(x, 0, one(load(x, 0)))", space)
        space["turned"].__annotations__["return"] = "None"
        numba_jit.compiled(space["turned"])(x)

    assert np.array_equal(-np.arange(16), x)
    assert 2 == len(list(folder.glob("turned-*.loop")))
    assert numba_lanes.load.made_by != numba_lanes.store.made_by
