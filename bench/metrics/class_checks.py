"""Whether a class of a stranger's says what a metric must say."""

from __future__ import annotations

from bench.errors import one_line
from bench.metrics import Decibels, Metric

_KINDS = {str: "a text", bool: "true or false", int: "a whole number"}
MOST_DIGITS = 15


def fault(cls: type[Metric]) -> str:
    """Return which attribute of a class cannot be what it is; empty where all can."""
    if fault := _wrong_type(cls):
        return fault
    if not 0 <= cls.digits <= MOST_DIGITS:
        return f"its digits must be from 0 to {MOST_DIGITS}, found {cls.digits}"
    low, high = cls.limits if isinstance(cls.limits, tuple) and len(cls.limits) == 2 else (0, 0)
    if not low < high:
        return f"its limits must be two rising numbers, found {cls.limits!r}"
    if not isinstance(cls.decibels, Decibels | None):
        return f"its decibels must be None or Decibels, found {cls.decibels!r}"
    return ""


def _wrong_type(cls: type[Metric]) -> str:
    """Return which text, number or choice of a class is none; empty where all are."""
    usual = {"name": "", "column": "", "title": "", **vars(Metric)}
    for attribute, default in usual.items():
        if attribute[0] == "_" or not isinstance(default, str | int | float):
            continue
        value = getattr(cls, attribute)
        of_an_instance = attribute == "version" and isinstance(value, property)
        if type(value) is not type(default) and not of_an_instance:
            return f"its {attribute} must be {_KINDS[type(default)]}, found {value!r}"
        if isinstance(value, str) and one_line(value) != value:
            return f"its {attribute} must be one printable line, found {value!r}"
        if attribute in ("name", "column", "title") and not value:
            return f"its {attribute} must be a text, found {value!r}"
    return ""
