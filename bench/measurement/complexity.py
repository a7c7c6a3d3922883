"""The complexity of codecs, as plain lines: one for each network of a codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import registry
from bench.codec import Codec, Complexity, Setting
from bench.measurement.executor import apart


@dataclass(frozen=True, slots=True)
class Line:
    """What a network costs that some settings of a codec share.

    Attributes
    ----------
    codec, label
        As in the rows of a run.
    settings
        Canonical JSON of each, in the order of the ladder.
    found
        Its complexity.
    """

    codec: str
    label: str
    settings: tuple[str, ...]
    found: Complexity


def lines_of(codec: Codec, settings: Sequence[Setting]) -> list[Line]:
    """Return a line for each network of a codec; none for a codec without.

    Neighbours on the ladder that cost the same share a line. The networks of a stranger's codec
    are built in a process of their own.

    Raises
    ------
    CodecError
        If a network cannot be built.
    """
    if not codec.learned:
        return []
    texts = [setting.json for setting in settings]
    lines: list[Line] = []
    for text, found in zip(texts, apart(codec.name, _of_settings, codec.name, texts), strict=True):
        if found is None:
            continue
        if lines and lines[-1].found == found:
            lines[-1] = Line(lines[-1].codec, lines[-1].label, (*lines[-1].settings, text), found)
            continue
        setting = Setting.from_json(text)
        lines.append(Line(registry.spec_name(codec, setting), codec.label(setting), (text,), found))
    return lines


def _of_settings(name: str, settings: Sequence[str]) -> list[Complexity | None]:
    codec = registry.create(name)
    return [codec.complexity(Setting.from_json(text)) for text in settings]
