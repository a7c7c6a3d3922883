"""Rates at equal quality, where a Bjontegaard delta has too few points."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis.bjontegaard import Curve
from bench.codecs.agvae.paper.ablation_curves import compare_all

IMAGES = tuple(f"i{n}" for n in range(6))


def curves(levels: list[int], factor: float = 1.0) -> dict[str, Curve]:
    """Return curves of six images whose quality is a smooth function of log-rate."""
    found = {}
    for number, image in enumerate(IMAGES):
        rates = 0.1 * 1.5 ** np.array(levels) * (1 + 0.1 * number)
        quality = 30 + 2 * np.log2(rates) - 0.3 * np.log2(rates) ** 2 * 0.1
        found[image] = Curve(tuple(factor * rates), tuple(quality))
    return found


def rows() -> pd.DataFrame:
    """Return measured cells: eight levels of one codec, three of another that needs 10 % less."""
    records = []
    for codec, levels, factor in (("full", range(8), 1.0), ("three", (1, 4, 7), 0.9)):
        for image, curve in curves(list(levels), factor).items():
            for level, bpp, psnr_db in zip(levels, curve.rate, curve.quality, strict=True):
                setting = json.dumps({"level": level})
                records.append(("d", image, codec, codec, setting, bpp, psnr_db, ""))
    columns = ["dataset", "image", "codec", "label", "setting", "bpp", "psnr_db", "error"]
    return pd.DataFrame(records, columns=columns)


def test_every_pair_both_ways():
    """Three points give no Bjontegaard rate, with the reason, but a rate at equal quality."""
    there, back = compare_all(rows(), ["full", "three"])

    assert ("full", "three", "psnr_db", 6) == (there.anchor, there.test, there.metric, there.images)
    assert ("three", "full") == (back.anchor, back.test)
    assert math.isnan(there.bd_rate_percent)
    assert "needs at least 4 points" in there.note
    assert -10 == pytest.approx(there.matched_percent, abs=0.2)
    assert there.matched_low <= there.matched_percent <= there.matched_high
    assert there.matched_high - there.matched_low < 1


def test_bjontegaard_where_there_are_points():
    """Four points and more have both numbers, which agree for curves that differ by a factor."""
    frame = rows()[lambda f: f["codec"] == "full"]
    factors = 1.2 + 0.02 * frame["image"].str[1:].astype(float)
    more = frame.assign(codec="more", label="more", bpp=factors * frame["bpp"])

    there, _ = compare_all(pd.concat([frame, more]), ["full", "more"])

    assert 26 == pytest.approx(there.bd_rate_percent, abs=1)
    assert there.matched_percent == pytest.approx(there.bd_rate_percent, abs=0.3)
    assert 1.2 < there.ci_high - there.ci_low < 8
    assert there.ci_low < there.bd_rate_percent < there.ci_high
    assert there.matched_low < there.matched_percent < there.matched_high
