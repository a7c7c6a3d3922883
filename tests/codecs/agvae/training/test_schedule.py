"""Budgets are read and spent, rates ramp, hold and fall."""

from __future__ import annotations

import pytest

from bench.codecs.agvae.training.schedule import Budget, learning_rate
from bench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("1500s", Budget(time_s=1500.0)),
        ("0.5 s", Budget(time_s=0.5)),
        ("60000steps", Budget(steps=60000)),
        ("60_000 steps", Budget(steps=60000)),
        ("1step", Budget(steps=1)),
    ],
)
def test_parse(text, budget):
    """Seconds or steps, as one writes them; the text form is read again."""
    assert budget == Budget.parse(text)
    assert budget == Budget.parse(str(budget))


@pytest.mark.parametrize("text", ["", "60", "0s", "0steps", "1.5steps", "-3s", "10 minutes", "s"])
def test_parse_refuses(text):
    """Anything else is an error that shows the form."""
    with pytest.raises(UsageError, match="1500s"):
        Budget.parse(text)


def test_progress():
    """Steps or seconds count, whichever was given, and never beyond 1."""
    assert 0.25 == Budget(steps=8).progress(2, 1e9)
    assert 0.5 == Budget(time_s=10.0).progress(10**9, 5.0)
    assert 1.0 == Budget(steps=8).progress(9, 0.0)


def test_learning_rate():
    """A ramp of some steps, constant, and a line to zero over the last fifth."""
    rates = [learning_rate(s / 100, s, decay=0.2, warm_up_steps=4) for s in range(101)]

    assert [0.25, 0.5, 0.75, 1.0] == rates[:4]
    assert [1.0] * 78 == pytest.approx(rates[3:81])
    assert [0.5, 0.0] == [pytest.approx(rates[90]), rates[100]]
    assert rates[81:] == sorted(rates[81:], reverse=True)
    assert 1.0 == learning_rate(0.5, 0, decay=0.0, warm_up_steps=0)
