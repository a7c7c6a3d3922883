"""Over how many of the images the means are, and what cost the others: said wherever a mean stands.

``n of N images``: N are the images of the run, n those that a mean is taken over. Where n is less
than N, the images that are left out are named with the reason, under tables and plots, in figures
and on the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis import summary
from bench.metrics.columns import column

_NAMED = 8
"""As many images are named in a sentence; the tables of failures name all."""


def count_text(count: int, noun: str) -> str:
    """Return ``1 image`` or ``24 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def of_text(count: int, total: int) -> str:
    """Return ``24 images``, or ``6 of 7 images`` where some are left out."""
    whole = count_text(total, "image")
    return whole if count == total else f"{count} of {whole}"


def listed(names: Sequence[str]) -> str:
    """Return names separated by commas, not more than a line holds.

    >>> listed(["a.png", "b.png"])
    'a.png, b.png'
    """
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which images the means of one dataset are over, and why the others are not.

    Attributes
    ----------
    total, common
        Images of the run; those that every codec has.
    counts
        Quality column -> images that its means are over.
    missing, left_out, aside
        As of ``summary.missing``, ``summary.left_out`` and ``summary.set_aside``.
    """

    total: int
    common: int
    counts: Mapping[str, int]
    missing: pd.DataFrame
    left_out: pd.DataFrame
    aside: pd.DataFrame

    def whole(self, metric: str) -> bool:
        """Return whether the means of a metric are over all images of the run."""
        return self.counts.get(metric) == self.total

    def images(self, metric: str = "") -> str:
        """Return over how many images the means are, of a metric or of the rate alone."""
        return of_text(self.counts.get(metric, self.common), self.total)

    def reasons(self, metrics: Iterable[str] = ()) -> list[str]:
        """Return sentences on what is left out of every mean, and of the means of ``metrics``."""
        lines = []
        for (codec, reason), lost in self.missing.groupby(["codec", "reason"], sort=False):
            where = count_text(int(lost["settings"].max()), "setting")
            names = listed([str(name) for name in lost["image"]])
            lines.append(f"Left out of every mean: {names} ({codec}, up to {where}: {reason}).")
        sources = list(dict.fromkeys(column(metric).source for metric in metrics))
        mine = self.left_out[self.left_out["metric"].isin(sources)]
        for (source, reason), lost in mine.groupby(["metric", "reason"], sort=False):
            names = listed([str(name) for name in lost["image"]])
            lines.append(
                f"Left out of the means of {column(str(source)).words}: {names}: {reason}."
            )
        for point in self.aside.to_dict("records"):
            tried = f"tried on {point['images']} of {count_text(int(point['most']), 'image')}"
            setting = setting_text(summary.parse_setting(str(point["setting"])))
            lines.append(f"Set aside: {point['codec']} at {setting}, {tried}.")
        return lines


def coverage(rows: pd.DataFrame | summary.Selection) -> dict[str, Coverage]:
    """Return dataset -> which images its means are over.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; or what was selected of them.
    """
    chosen = summary.Selection.of(rows)
    counts = summary.metric_images(chosen.comparable)
    parts = [chosen.missing, chosen.left_out, chosen.set_aside]
    found = {}
    for name, images in chosen.common_images.items():
        lost, out, aside = (part[part["dataset"] == name] for part in parts)
        mine = {metric: count for (dataset, metric), count in counts.items() if dataset == name}
        total = chosen.rows.loc[chosen.rows["dataset"] == name, "image"].nunique()
        found[name] = Coverage(int(total), len(images), mine, lost, out, aside)
    return found


def setting_text(values: Mapping[str, object]) -> str:
    """Return ``quality 75, optimize true``."""
    words = {True: "true", False: "false"}
    return ", ".join(
        f"{name} {words[value] if isinstance(value, bool) else value}"
        for name, value in values.items()
    )


def varying_text(setting: str, known: Iterable[str]) -> str:
    """Return what varies along a curve of settings (JSON texts), at one of them: ``qp 33``.

    The setting may be new to the curve. Numbers have three decimals at most.
    """
    settings = list(dict.fromkeys([*known, setting]))
    values = summary.split_settings(settings)[0][settings.index(setting)]
    return setting_text(
        {name: round(v, 3) if isinstance(v, float) else v for name, v in values.items()}
    )
