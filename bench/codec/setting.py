"""What a codec can be set to: named values that are plain data, and their ranges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.errors import SettingError

Scalar = str | int | float | bool

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _canonical(value: Scalar) -> Scalar:
    """Return 3 for 3.0, so that equal settings have equal text."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Setting(Mapping[str, Scalar]):
    """One operating point of a codec: plain data by native name, hashable, canonical as JSON.

    >>> Setting(quality=75, subsampling="4:2:0").json
    '{"quality":75,"subsampling":"4:2:0"}'
    """

    __slots__ = ("_json", "_values")

    def __init__(self, /, **values: Scalar) -> None:
        self._values = {key: _canonical(values[key]) for key in sorted(values)}
        self._json = ""

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Return the setting that ``json`` wrote."""
        return cls(**json.loads(text))

    @property
    def json(self) -> str:
        """The canonical text: keys sorted, no spaces."""
        if not self._json:
            self._json = _ENCODER.encode(self._values)
        return self._json

    def replace(self, /, **values: Scalar) -> Setting:
        """Return a copy with some values replaced or added."""
        return Setting(**{**self._values, **values})

    def without(self, *names: str) -> Setting:
        """Return a copy that lacks ``names``."""
        return Setting(**{k: v for k, v in self._values.items() if k not in names})

    def __getitem__(self, key: str) -> Scalar:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self.json)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and self.json == other.json

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Setting.from_json, (self.json,)

    def __repr__(self) -> str:
        return f"Setting({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named value of a codec's settings: its kind, range and meaning.

    Attributes
    ----------
    name
        The codec's own word for it (``quality``, ``qp``, ``subsampling``).
    default
        Used where a setting does not say; its type is the parameter's type.
    help
        One phrase for ``bench list --verbose``.
    choices
        The legal values; empty where ``low`` and ``high`` bound a range.
    low, high
        Inclusive bounds of a number.
    """

    name: str
    default: Scalar
    help: str = ""
    choices: tuple[Scalar, ...] = ()
    low: float | None = None
    high: float | None = None

    def check(self, value: Scalar) -> Scalar:
        """Return ``value`` in the parameter's own type.

        Raises
        ------
        SettingError
            If the value has another type or lies outside the choices or the range.
        """
        converted = _convert(value, type(self.default))
        if (
            converted is None
            or (self.choices and converted not in self.choices)
            or (isinstance(converted, int | float) and not self._inside(converted))
        ):
            raise SettingError(f"{self.name} must be {self.range}, found {value!r}")
        return converted

    def _inside(self, number: float) -> bool:
        return (self.low is None or number >= self.low) and (
            self.high is None or number <= self.high
        )

    @property
    def words(self) -> str:
        """Meaning, legal values and default, for ``bench list --verbose``."""
        default = str(_canonical(self.default))
        return f"{self.help} ({self.range}; default {default})".lstrip()

    @property
    def range(self) -> str:
        """The legal values in words."""
        if self.choices:
            return "one of " + ", ".join(str(_canonical(c)) for c in self.choices)
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        words = kind[type(self.default)]
        words += f" from {self.low:g}" if self.low is not None else ""
        return words + (f" to {self.high:g}" if self.high is not None else "")


def _convert(value: Scalar, kind: type) -> Scalar | None:
    """Return ``value`` as ``kind``, or None where that would change its meaning."""
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return value if isinstance(value, bool) else words.get(str(value).lower())
    if isinstance(value, bool):
        return None
    if kind is str:
        return str(value)
    if kind is int and isinstance(value, int):
        return value
    return _number(value, kind)


def _number(value: Scalar, kind: type) -> Scalar | None:
    """Return a finite number of ``kind``, or None."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (kind is int and not number.is_integer()):
        return None
    return int(number) if kind is int else number
