"""Which rows means are taken over: the images that all have in common, and what is left out.

Means of different codecs are comparable only over the same images, so each dataset is cut to its
*common images*:

* a setting takes part if it succeeded on at least one image, and was tried on at least half as many
  images as the setting of its codec that was tried on most;
* a codec takes part if one of its settings does;
* an image is common if every setting that takes part succeeded on it.

So a codec that is broken throughout, or a setting that is refused for every image, costs nothing
but its own rows, and so does a setting that somebody once tried on a single image; while a codec
that fails on one image costs that image for all codecs.
``failures`` lists what failed, ``set_aside`` the settings tried on too few images, and ``missing``
says which image was lost to which codec.

By the same reasoning each metric has its own images among the common ones:

* a point takes part if it has a usable value on at least one image, where a value is usable if it
  and its form in decibels are finite: a point that is an exact copy of every image is lossless, and
  lies on no curve of that metric;
* an image counts if every point that takes part has a usable value on it.

So PSNR that is infinite on a flat image, or MS-SSIM that is undefined under 161 pixels a side, cost
that image for all codecs, and only in the means of that metric; ``left_out`` names it. Were no
image left, the points with the fewest usable values are left out until one is, and named as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.columns import Column, drawn_form, known, metric_columns

KEY = ["dataset", "codec", "label", "setting"]
"""What identifies a point of a curve; a row adds the image."""

_FAILURES = ["dataset", "codec", "label", "error", "cells", "attempted", "images"]
_ASIDE = [*KEY, "images", "most"]
_MISSING = ["dataset", "image", "codec", "settings", "reason"]
_LEFT_OUT = ["dataset", "metric", "image", "reason"]


def natural(text: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a sort key in which ``"quality":9`` comes before ``"quality":75``.

    >>> sorted(["q10", "q9"], key=natural)
    ['q9', 'q10']
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(
        (True, float(part), "") if index % 2 else (False, 0.0, part)
        for index, part in enumerate(parts)
    )


def _natural_column(column: pd.Series) -> pd.Series:
    """Return a column of sort keys for ``DataFrame.sort_values``."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    texts = [str(value) for value in values]
    rank = {text: i for i, text in enumerate(sorted(set(texts), key=natural))}
    ranks = np.array([rank[text] for text in texts], dtype=np.int64)
    return pd.Series(ranks[codes], index=column.index)


def sort_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` in the one stable order: dataset, codec, label, setting, image."""
    by = [name for name in (*KEY, "image") if name in rows.columns]
    return rows.sort_values(by, key=_natural_column, kind="stable").reset_index(drop=True)


def error_text(rows: pd.DataFrame) -> pd.Series:
    """Return the column ``error`` as plain text, empty where there is none."""
    if "error" not in rows.columns:
        return pd.Series("", index=rows.index, dtype=object)
    codes, values = pd.factorize(rows["error"], use_na_sentinel=False)
    texts = ["" if pd.isna(value) else " ".join(str(value).split()) for value in values]
    return pd.Series(np.array(texts, dtype=object)[codes], index=rows.index, dtype=object)


def succeeded(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without error that have a size; one per cell, the last of any repeats."""
    good = rows[(error_text(rows) == "") & rows["bpp"].notna()]
    return good.drop_duplicates([*KEY, "image"], keep="last")


def _tried(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per point on how many images it was tried, and the most of any of its codec."""
    cells = rows[[*KEY, "image"]].drop_duplicates()
    tried = cells.groupby(KEY, sort=True).size().rename("images").reset_index()
    tried["most"] = tried.groupby(["dataset", "codec"])["images"].transform("max")
    return tried


class Selection:
    """What the means over some rows are taken over; each part is worked out once, when asked for.

    The rule stands at the top of this module.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; they must not be changed meanwhile.

    Attributes
    ----------
    means
        What ``summary.summarise`` found, once it did.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.means: pd.DataFrame | None = None

    @classmethod
    def of(cls, rows: pd.DataFrame | Selection) -> Selection:
        """Return the selection of some rows, or the one that was made of them already."""
        return rows if isinstance(rows, Selection) else cls(rows)

    @cached_property
    def set_aside(self) -> pd.DataFrame:
        """The points that were tried on too few images to be compared.

        ``dataset, codec, label, setting, images, most``: tried on ``images`` of the ``most`` images
        that another setting of the codec was tried on.
        """
        tried = _tried(self.rows)
        return tried.loc[2 * tried["images"] < tried["most"], _ASIDE].reset_index(drop=True)

    @cached_property
    def taking_part(self) -> pd.DataFrame:
        """The rows that succeeded, without those of points set aside."""
        good = succeeded(self.rows)
        aside = set(self.set_aside[KEY].itertuples(index=False, name=None))
        if not aside:
            return good
        points = good[KEY].itertuples(index=False, name=None)
        return good[np.array([point not in aside for point in points], dtype=bool)]

    @cached_property
    def common_images(self) -> dict[str, list[str]]:
        """The common images of each dataset."""
        names = sorted(self.rows["dataset"].unique())
        common: dict[str, list[str]] = {str(name): [] for name in names}
        for dataset, group in self.taking_part.groupby("dataset", sort=True):
            points = len(group[KEY].drop_duplicates())
            held = group.groupby("image").size()
            common[str(dataset)] = sorted((str(i) for i in held.index[held == points]), key=natural)
        return common

    @cached_property
    def on_common_images(self) -> pd.DataFrame:
        """The rows of points that take part, on the common images only."""
        good = self.taking_part
        inside = np.zeros(len(good), dtype=bool)
        for name, images in self.common_images.items():
            inside |= ((good["dataset"] == name) & good["image"].isin(images)).to_numpy()
        return sort_rows(good[inside])

    @cached_property
    def _cuts(self) -> list[tuple[str, str, _Cut]]:
        """What each metric's means keep: (dataset, the metric's column, its cut)."""
        kept = self.on_common_images
        return [
            (str(dataset), metric, _Cut(group, known()[metric]))
            for dataset, group in kept.groupby("dataset", sort=True)
            for metric in metric_columns(kept)
        ]

    @cached_property
    def comparable(self) -> pd.DataFrame:
        """The rows that means are taken over.

        A metric is blank in the rows that its means leave out. What remains is the same images at
        every point: finite values, or of a lossless point the value of an exact copy.
        """
        kept = self.on_common_images.copy()
        for _, metric, cut in self._cuts:
            kept.loc[cut.index[~cut.stays], metric] = np.nan
        return kept

    @cached_property
    def left_out(self) -> pd.DataFrame:
        """The common images that the means of a metric leave out, and why.

        ``dataset, metric, image, reason``: ``metric`` is the column of the metric's own values;
        of a point that is left out, ``image`` holds its codec and setting.
        """
        records = [
            (dataset, metric, image, reason)
            for dataset, metric, cut in self._cuts
            for image, reason in cut.reasons()
        ]
        return pd.DataFrame(records, columns=_LEFT_OUT)

    @cached_property
    def missing(self) -> pd.DataFrame:
        """Which images are not common, and because of which codec.

        ``dataset, image, codec, settings, reason``: how many settings of the codec lack the
        image, and why: its first error, or that it was not measured.
        """
        rows = self.rows
        errors = rows.assign(error=error_text(rows))
        errors = errors[errors["error"] != ""].drop_duplicates(["dataset", "image", "codec"])
        known_errors = {(r.dataset, r.image, r.codec): r.error for r in errors.itertuples()}
        records = []
        for dataset, group in self.taking_part.groupby("dataset", sort=True):
            common = set(self.common_images[str(dataset)])
            points = {codec: len(g[KEY].drop_duplicates()) for codec, g in group.groupby("codec")}
            held = group.groupby(["image", "codec"]).size().to_dict()
            everything = {str(name) for name in rows.loc[rows["dataset"] == dataset, "image"]}
            for image in sorted(everything - common, key=natural):
                for codec, wanted in points.items():
                    short = wanted - held.get((image, codec), 0)
                    if short:
                        reason = known_errors.get((dataset, image, codec), "not measured")
                        records.append((dataset, image, codec, short, reason))
        return pd.DataFrame(records, columns=_MISSING)


def set_aside(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``Selection.set_aside`` of some rows."""
    return Selection(rows).set_aside


def common_images(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return ``Selection.common_images`` of some rows."""
    return Selection(rows).common_images


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``Selection.comparable`` of some rows."""
    return Selection(rows).comparable


def left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``Selection.left_out`` of some rows."""
    return Selection(rows).left_out


def missing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``Selection.missing`` of some rows."""
    return Selection(rows).missing


def _largest_group(grid: NDArray[np.bool_], points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of ``points`` take part: all, or were no image left, those with most values.

    Parameters
    ----------
    grid
        Shape (points, images): where there is a usable value.
    points
        Which of them have any. All are returned where no smaller group has an image in common.
    """
    chosen = points
    while chosen.any() and not grid[chosen].all(axis=0).any():
        counts = np.where(chosen, grid.sum(axis=1), grid.shape[1] + 1)
        chosen = chosen & (counts > counts.min())
    return chosen if chosen.any() else points


class _Cut:
    """What the means of one metric keep of one dataset's rows on its common images."""

    def __init__(self, rows: pd.DataFrame, column: Column) -> None:
        self.column, self.index = column, rows.index
        self._rows = rows
        self._values = rows[column.column].to_numpy(dtype=np.float64, na_value=np.nan)
        self._point = rows.groupby(KEY, sort=False).ngroup().to_numpy()
        image, self._images = pd.factorize(rows["image"])
        drawn = drawn_form(column).of_means(self._values)
        usable = np.isfinite(self._values) & np.isfinite(drawn)
        shape = (int(self._point.max(initial=-1)) + 1, len(self._images))
        grid, same = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        grid[self._point, image] = usable
        same[self._point, image] = self._values == column.exact
        undefined = np.ones(shape, dtype=bool)
        undefined[self._point, image] = np.isnan(self._values)
        lossless = (same | undefined).all(axis=1) & same.any(axis=1)
        defined = grid.any(axis=1) & ~lossless
        self._takes_part = _largest_group(grid, defined)
        self._dropped, self._usable, self._image = defined & ~self._takes_part, usable, image
        self._grid, counts = grid, grid[self._takes_part].all(axis=0)
        self._lost = ~counts
        self.stays = counts[image] & (self._takes_part | lossless)[self._point]

    def reasons(self) -> Iterator[tuple[str, str]]:
        """Yield image and reason of each image that is left out, in natural order."""
        names = [str(name) for name in self._images]
        whole = np.zeros(len(names), dtype=bool)
        whole[self._image[self.stays]] = True
        lacking = np.flatnonzero(~whole | self._lost)
        for place in sorted(lacking, key=lambda i: natural(names[i])):
            here = self._image == place
            if not self.stays[here].any() and (reason := self._too_small(here)):
                yield names[place], reason
            elif self._lost[place]:
                here &= self._takes_part[self._point]
                yield names[place], self._reason(here & ~self._usable, int(here.sum()))
        for point in np.flatnonzero(self._dropped):
            line = self._rows[self._point == point].iloc[0]
            holes = f"{(~self._grid[point]).sum()} of {len(names)} images"
            reason = f"infinite or undefined on {holes}, and with it no image would be left"
            yield f"{line['codec']} {line['setting']}", f"{self.column.words} is {reason}"

    def _too_small(self, here: NDArray[np.bool_]) -> str:
        """Return that an image is too small for the metric; empty where it is not, or not known."""
        lines = self._rows[here]
        if not {"width", "height"} <= set(lines.columns) or np.isfinite(self._values[here]).any():
            return ""
        width, height = (float(lines[side].iloc[0]) for side in ("width", "height"))
        smallest = self.column.smallest_px
        if not min(width, height) < smallest:
            return ""
        return (
            f"{self.column.words} is not defined under {smallest} pixels a side, found "
            f"{width:.0f}x{height:.0f}"
        )

    def _reason(self, holes: NDArray[np.bool_], points: int) -> str:
        """Return why an image is left out: ``holes`` are its rows without a usable value."""
        undefined = np.isnan(self._values[holes]).all()
        lines = self._rows[holes]
        codecs = sorted({str(codec) for codec in lines["codec"]})
        named = ", ".join(codecs[:3]) + (", ..." if len(codecs) > 3 else "")
        what = "not defined or not computed" if undefined else "infinite (an exact copy)"
        return f"{self.column.words} is {what} at {holes.sum()} of {points} points ({named})"


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what failed, one line per dataset, curve and error.

    Returns
    -------
    DataFrame
        ``dataset, codec, label, error, cells, attempted, images``: how many cells had that error
        of how many attempted on the curve, and on which images (names, comma-separated).
        A codec that failed everywhere has ``cells`` equal to ``attempted`` (or several such
        lines that add up to it).
    """
    frame = rows.assign(error=error_text(rows)).drop_duplicates([*KEY, "image"], keep="last")
    bad = (frame["error"] != "") | frame["bpp"].isna()
    frame["error"] = frame["error"].where(frame["error"] != "", "no result and no error")
    attempted = frame.groupby(["dataset", "codec", "label"]).size().to_dict()
    records = []
    for key, group in frame[bad].groupby(["dataset", "codec", "label", "error"], sort=True):
        images = sorted({str(name) for name in group["image"]}, key=natural)
        records.append((*key, len(group), attempted[key[:3]], ", ".join(images)))
    return pd.DataFrame(records, columns=_FAILURES)
