"""Arithmetic on many tensors in one kernel: torch's foreach functions, which have no public names.

A training step touches some 200 parameters. One kernel for all of them instead of one each is what
keeps an eager step from waiting for launches.
"""

# ruff: noqa: SLF001
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_torch: Any = torch
Tensors = Sequence[Tensor]


def norms(tensors: Tensors) -> list[Tensor]:
    """Return the Euclidean norm of each."""
    return list(_torch._foreach_norm(list(tensors)))


def times(tensors: Tensors, factor: Tensor | float) -> list[Tensor]:
    """Return each times one factor."""
    return list(_torch._foreach_mul(list(tensors), factor))


def over(tensors: Tensors, divisor: Tensors | Tensor) -> list[Tensor]:
    """Return each over its own divisor, or all over one."""
    divisors = divisor if isinstance(divisor, Tensor) else list(divisor)
    return list(_torch._foreach_div(list(tensors), divisors))


def roots(tensors: Tensors) -> list[Tensor]:
    """Return the square root of each."""
    return list(_torch._foreach_sqrt(list(tensors)))


def minus(tensors: Tensors, others: Tensors) -> list[Tensor]:
    """Return each less its counterpart."""
    return list(_torch._foreach_sub(list(tensors), list(others)))


def add_(tensors: Tensors, others: Tensors | float) -> None:
    """Add to each its counterpart, or one number to all."""
    _torch._foreach_add_(list(tensors), others if isinstance(others, float) else list(others))


def subtract_(tensors: Tensors, others: Tensors) -> None:
    """Subtract from each its counterpart."""
    _torch._foreach_sub_(list(tensors), list(others))


def scale_(tensors: Tensors, factor: float) -> None:
    """Multiply each by one number."""
    _torch._foreach_mul_(list(tensors), factor)


def approach_(tensors: Tensors, targets: Tensors, share: float) -> None:
    """Move each a share of the way to its target."""
    _torch._foreach_lerp_(list(tensors), list(targets), share)


def add_squares_(tensors: Tensors, others: Tensors, factor: float) -> None:
    """Add to each a multiple of its counterpart's square."""
    _torch._foreach_addcmul_(list(tensors), list(others), list(others), factor)


def copy_(tensors: Tensors, others: Tensors) -> None:
    """Set each to its counterpart."""
    _torch._foreach_copy_(list(tensors), list(others))
