"""How long a run lasts and how fast it learns on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import UsageError

_FORMS = re.compile(r"(\d+(?:\.\d+)?)\s*(s|steps?)")


@dataclass(frozen=True, slots=True)
class Budget:
    """Steps or seconds of training, whichever is given; pauses do not count.

    Attributes
    ----------
    steps
        Number of optimiser steps, or None.
    time_s
        Seconds inside the training loop, or None. Such a run cannot be repeated exactly.
    """

    steps: int | None = None
    time_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``1500s`` or ``60000steps``.

        Raises
        ------
        UsageError
            If it is neither.
        """
        match = _FORMS.fullmatch(text.strip().replace("_", "").replace(",", ""))
        if match and match[2] == "s" and float(match[1]) > 0:
            return cls(time_s=float(match[1]))
        if match and match[2] != "s" and match[1].isdecimal() and int(match[1]) > 0:
            return cls(steps=int(match[1]))
        raise UsageError(
            f"--budget wants seconds or steps, found {text!r}",
            "Write it like --budget 1500s or --budget 60000steps.",
        )

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the share that is spent, 0 to 1."""
        spent = step / self.steps if self.steps else elapsed_s / (self.time_s or 1.0)
        return min(1.0, spent)

    def __str__(self) -> str:
        """Return what ``parse`` reads."""
        return f"{self.steps}steps" if self.steps else f"{self.time_s:g}s"


def learning_rate(progress: float, step: int, *, decay: float, warm_up_steps: int) -> float:
    """Return the share of the full rate: a short ramp, constant, then a line down to zero.

    It falls over the last share ``decay`` of the budget, of which ``progress`` is spent.
    """
    ramp = min(1.0, (step + 1) / warm_up_steps) if warm_up_steps else 1.0
    fall = min(1.0, (1.0 - progress) / decay) if decay else 1.0
    return ramp * fall
