"""The rate ledger: what the bytes of a file are spent on, by the codecs' own account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bench.analysis import summary
from bench.errors import BenchError
from bench.measurement.rows import records
from bench.report.results import Bitstreams, NotStored

GROUPS = {
    "header": "Header",
    "side_information": "Side information",
    "payload": "Payload",
    "not_itemised": "Not itemised",
}
"""Groups of parts, in the order of the bars."""

# The codecs' own words, where they are not the names of groups.
_PARTS = {
    "checksum": "header",
    "hevc_header": "header",
    "pps": "header",
    "sei": "header",
    "extension": "header",
    "z": "side_information",
    "file": "not_itemised",
}


@dataclass(frozen=True, slots=True)
class Point:
    """Mean bytes a file at one rung of a codec.

    Attributes
    ----------
    setting
        Canonical JSON.
    bpp, total_bytes
        Means over the ledger's images.
    parts
        The codec's own word for a part -> mean bytes.
    groups
        Key of ``GROUPS`` -> mean bytes.
    """

    setting: str
    bpp: float
    total_bytes: float
    parts: Mapping[str, float]
    groups: Mapping[str, float]

    @property
    def itemised(self) -> bool:
        """Whether the codec accounts for its bytes at all."""
        return not self.groups.get("not_itemised")

    @property
    def overhead(self) -> float:
        """Share of the bytes that is not picture."""
        return 1 - self.groups.get("payload", 0.0) / self.total_bytes


@dataclass(slots=True)
class Ledger:
    """Codec -> its points by rising rate, the images they are means over, and what is missing."""

    curves: dict[str, list[Point]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def group_of(part: str) -> str:
    """Return the key of ``GROUPS`` that a codec's part belongs to."""
    if part in GROUPS:
        return part
    return _PARTS.get(part, "payload")


def build(
    rows: pd.DataFrame,
    images: Sequence[str],
    streams: Bitstreams,
    progress: Callable[[str], object] = lambda _: None,
) -> Ledger:
    """Return the ledger of one dataset over some of its images.

    A codec whose files cannot be had or read is left out with the reason.
    """
    found = Ledger(images=list(images))
    kept = summary.succeeded(rows)
    kept = kept[kept["image"].isin(images)]
    for codec, curve in kept.groupby("codec", sort=True):
        progress(f"rate ledger: {codec}")
        try:
            points = [
                _point(str(setting), group, streams)
                for setting, group in curve.groupby("setting", sort=False)
            ]
        except NotStored as error:
            found.missing.append(error.what)
        except BenchError as error:
            found.missing.append(f"{codec}: {error.what}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs its bars
            found.missing.append(f"{codec}: unexpected {type(error).__name__}: {error}")
        else:
            found.curves[str(codec)] = sorted(points, key=lambda point: point.bpp)
    return found


def _point(setting: str, group: pd.DataFrame, streams: Bitstreams) -> Point:
    """Return the means of one rung."""
    parts: dict[str, float] = {}
    rows = records(group)
    for row in rows:
        for part, size_bytes in streams.ledger(row).items():
            parts[part] = parts.get(part, 0.0) + size_bytes / len(rows)
    groups = dict.fromkeys(GROUPS, 0.0)
    for part, size in parts.items():
        groups[group_of(part)] += size
    return Point(
        setting,
        float(group["bpp"].mean()),
        sum(parts.values()),
        parts,
        {name: size for name, size in groups.items() if size},
    )
