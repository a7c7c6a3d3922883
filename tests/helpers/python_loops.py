"""Compiled loops as they are written: slow, and NumPy sees to it that nothing is read beyond."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from bench.image.numba_jit import Loop


def in_python(loop: Any) -> Callable[..., Any]:
    """Return a loop, and what it calls, without numba's compiler."""
    function = loop.py_func
    space = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(space.get(name), Loop):
            space[name] = in_python(space[name])
    return FunctionType(function.__code__, space)
