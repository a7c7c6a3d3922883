"""Pictures at one rate: the stored rungs that lie closest together, or files made to measure."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench import metrics as metrics_of
from bench import registry
from bench.analysis.at_targets import TARGET
from bench.analysis.summary import parse_setting, succeeded
from bench.codec import Codec, Setting
from bench.errors import BenchError
from bench.image import Image
from bench.measurement.rows import records, setting_of
from bench.rate_search import encode_to_bpp
from bench.report.results import Bitstreams

_FAR = 3.0  # a rung further from the target than this factor is no match
_NEAR = 0.01  # of log rate: near enough
_SLACK = 1.2  # how far the common rate may lie from the target


def matched(rows: pd.DataFrame, rate: float) -> dict[str, dict[str, Any]]:
    """Return codec -> one row of one image, near ``rate`` and near each other.

    The rows nearest to a common rate are taken, the common rate being the one within 20 % of
    ``rate`` that leaves the smallest mean squared log distance. A codec that has nothing within a
    factor of three is left out.

    Parameters
    ----------
    rows
        Rows of one image.
    rate
        Target in bpp.
    """
    curves = {str(codec): curve for codec, curve in succeeded(rows).groupby("codec", sort=True)}
    logs = {codec: np.log(curve["bpp"].to_numpy(float) / rate) for codec, curve in curves.items()}
    logs = {codec: x for codec, x in logs.items() if np.abs(x).min() <= math.log(_FAR)}
    if not logs:
        return {}
    offers = np.linspace(-math.log(_SLACK), math.log(_SLACK), 41)
    offers = offers[np.argsort(np.abs(offers), kind="stable")]  # of equals, the nearest to the rate
    costs = [
        np.mean([min(np.abs(x - offer).min(), 0.3) ** 2 for x in logs.values()]) for offer in offers
    ]
    offer = offers[int(np.argmin(costs))]
    chosen = {codec: int(np.abs(x - offer).argmin()) for codec, x in logs.items()}
    return {
        codec: {str(key): value for key, value in curves[codec].iloc[place].items()}
        for codec, place in chosen.items()
    }


def target_of(setting: str) -> str:
    """Return what a search was for, by the setting of its row; empty: nothing was searched."""
    return str(parse_setting(setting).get(TARGET, ""))


def at_target(rows: pd.DataFrame, target: str) -> dict[str, dict[str, Any]]:
    """Return codec -> its row of one image that hits a target, or the row that set the target.

    The codecs are those of ``at_targets``: one that was not searched takes part at its one setting.
    """
    good = succeeded(rows)
    aims = good["setting"].map(target_of)
    hits = good[(aims == target) & good["target_bpp"].notna()]
    others = good[(aims == "") & ~good["codec"].isin(good.loc[aims != "", "codec"])]
    others = others[~others["codec"].duplicated(keep=False)]
    return {str(row["codec"]): row for row in records(pd.concat([hits, others]))}


@dataclass(slots=True)
class Exact:
    """Makes files of a wanted rate and scores them as the run was scored.

    Attributes
    ----------
    streams
        Takes the files that are made.
    metrics
        Names of the run's metrics.
    """

    streams: Bitstreams
    metrics: Sequence[str]
    _references: threading.local = field(default_factory=threading.local)  # of each thread

    def row(
        self, near: Mapping[str, Any], rows: pd.DataFrame, original: Image, rate: float
    ) -> dict[str, Any]:
        """Return a row like ``near``, of a file as close to ``rate`` as the codec can come.

        Parameters
        ----------
        near
            The stored row that would be shown otherwise; returned where nothing comes closer.
        rows
            The rows of its image: they bracket the search.
        original
            uint8 RGB (H, W, 3).
        rate
            Target in bpp.

        Raises
        ------
        BenchError
            If the codec cannot choose its rate.
        """
        codec = self.streams.codec(near)
        base = setting_of(near)
        tried = _bracketed(codec, original, base, _stored(codec, near, rows), rate)
        if tried is None:
            made = encode_to_bpp(codec, original, base, rate)
            tried = made.setting, made.data
        setting, data = tried
        bpp = 8 * len(data) / (original.shape[0] * original.shape[1])
        if abs(math.log(bpp / rate)) >= abs(math.log(float(near["bpp"]) / rate)):
            return dict(near)
        digest = hashlib.sha256(data).hexdigest()
        decoded = codec.decode(data)
        self.streams.made[digest], self.streams.decoded[digest] = data, decoded
        return {
            **{key: near[key] for key in ("dataset", "image", "codec", "label")},
            "setting": setting.json,
            "bytes": len(data),
            "bpp": bpp,
            "bitstream_sha256": digest,
            "exact": True,
            **self._scores(original, decoded),
        }

    def _scores(self, original: Image, decoded: Image) -> dict[str, float]:
        """Return column -> value; a metric that is not available or not defined is left out."""
        known: Image | None
        states: dict[str, Any]
        known, states = getattr(self._references, "last", (None, {}))
        if known is not original:  # another image; names are those of a dataset alone
            states = {}
            self._references.last = original, states
        found = {}
        for word in self.metrics:
            try:
                metric = metrics_of.create(word)
                if word not in states:
                    states[word] = metric.prepare(original)
                found[metric.column] = float(metric.score(states[word], decoded))
            except BenchError:
                continue
        return found


def _stored(codec: Codec, near: Mapping[str, Any], rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Return (value of the rate parameter, log bpp) of a codec's stored rows, by rising rate."""
    name = registry.rate_name(codec)
    mine = records(succeeded(rows[rows["codec"] == near["codec"]]))
    pairs = [(setting_of(row).get(name), row["bpp"]) for row in mine]
    known = [(float(v), math.log(bpp)) for v, bpp in pairs if isinstance(v, int | float)]
    return sorted(known, key=lambda pair: pair[1])


def _bracketed(
    codec: Codec,
    image: Image,
    base: Setting,
    stored: Sequence[tuple[float, float]],
    rate: float,
) -> tuple[Setting, bytes] | None:
    """Return setting and file nearest to ``rate``, searched between the two stored rungs around it.

    Only for whole-numbered parameters, and where stored rungs lie on both sides: two or three
    encodings find what a search over the whole range needs seven for. None: search the whole range.
    """
    name, target = registry.rate_name(codec), math.log(rate)
    parameter = registry.parameters(codec).get(name)
    below = [pair for pair in stored if pair[1] <= target]
    above = [pair for pair in stored if pair[1] > target]
    if parameter is None or not isinstance(parameter.default, int) or not (below and above):
        return None
    (low, low_log), (high, high_log) = below[-1], above[0]
    best: tuple[float, Setting, bytes] | None = None
    while abs(high - low) > 1:
        share = (target - low_log) / max(high_log - low_log, 1e-9)
        value = min(max(round(low + share * (high - low)), min(low, high) + 1), max(low, high) - 1)
        setting = registry.complete(codec, base.replace(**{name: int(value)}))
        data = bytes(codec.encode(image, setting))
        found = math.log(8 * len(data) / (image.shape[0] * image.shape[1]))
        if best is None or abs(found - target) < best[0]:
            best = abs(found - target), setting, data
        if best[0] <= _NEAR:
            break
        if found <= target:
            low, low_log = value, found
        else:
            high, high_log = value, found
    return best[1:] if best else None
