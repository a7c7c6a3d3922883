"""Where the kernels of a test run, and the check that they stay inside of their tensors."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture(autouse=True)
def bounds(monkeypatch):
    """Fail where a kernel reads or writes outside of its tensors."""
    if not INTERPRETED:
        return
    from triton.runtime import interpreter

    ranges = np.zeros((0, 2), np.int64)
    builder, executor = interpreter.InterpreterBuilder, interpreter.GridExecutor
    real = builder.create_masked_load, builder.create_masked_store, executor._init_args_hst

    def entered(self, args, kwargs):
        nonlocal ranges
        tensors = [a for a in args if isinstance(a, torch.Tensor) and a.numel()]
        ends = [(t.data_ptr(), t.data_ptr() + t.element_size() * (_last(t) + 1)) for t in tensors]
        ranges = np.array(ends, np.int64).reshape(-1, 2)
        return real[2](self, args, kwargs)

    def check(pointers, mask):
        at = pointers.data.astype(np.int64)[mask.data.astype(bool)]
        inside = (at[:, None] >= ranges[:, 0]) & (at[:, None] < ranges[:, 1])
        if not inside.any(1).all():
            raise IndexError("a kernel left its tensors")

    def load(self, pointers, mask, *rest):
        check(pointers, mask)
        return real[0](self, pointers, mask, *rest)

    def store(self, pointers, value, mask, *rest):
        check(pointers, mask)
        return real[1](self, pointers, value, mask, *rest)

    monkeypatch.setattr(executor, "_init_args_hst", entered)
    monkeypatch.setattr(builder, "create_masked_load", load)
    monkeypatch.setattr(builder, "create_masked_store", store)


def _last(tensor: torch.Tensor) -> int:
    """Offset of a tensor's last element from its first."""
    return sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
