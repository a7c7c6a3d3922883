"""What a run says at its end: Bjontegaard rates in a few lines, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.bjontegaard import Cause
from bench.output.table_formats import number
from bench.output.tables import title

_ADVICE = {
    Cause.FEW_POINTS: "measure more of them: --points 4 or more, without --quick",
    Cause.LOSSLESS: "measure settings of lower quality: --quality",
    Cause.UNDEFINED: "the tables of failures say which values are missing",
    Cause.OVERLAP: "measure settings that reach the same qualities: --quality",
    Cause.NO_IMAGE: "the tables of failures say which images are missing",
}


def _cause(line: Mapping[Hashable, Any]) -> str:
    """Return the cause of a line; of a file, which has none, as far as its note says."""
    note = str(line["note"])
    few = "needs at least" in note and "left out" not in note
    return str(line.get("cause") or (Cause.FEW_POINTS if few else ""))


def lines(deltas: pd.DataFrame, dataset: str) -> list[str]:
    """Return the headline of one dataset: a codec a line, a metric a column, the best first.

    Parameters
    ----------
    deltas
        The columns of ``bd_rate.csv``, and ``cause`` where it is known.
    dataset
        Whose lines to tell.

    Returns
    -------
    list of str
        Empty where only one codec was measured. Where nothing is computable, the reason.
    """
    head = deltas[(deltas["dataset"] == dataset) & (deltas["method"] == "pchip")]
    if head.empty:
        return []
    anchor = str(head["anchor"].iloc[0])
    if head["bd_rate_percent"].isna().all():
        reasons = dict.fromkeys((str(r["note"]), _cause(r)) for r in head.to_dict("records"))
        return [
            f"{dataset}: BD-rate against {anchor} is {'; '.join(filter(None, (note, advice)))}"
            for note, cause in reasons
            for advice in [next((text for c, text in _ADVICE.items() if c == cause), "")]
        ]
    rates = {
        (str(line["codec"]), str(line["metric"])): float(line["bd_rate_percent"])
        for line in head.to_dict("records")
    }
    metrics = list(dict.fromkeys(head["metric"]))
    first = {codec: rates.get((codec, metrics[0]), math.nan) for codec in head["codec"].unique()}
    ranked = sorted(first, key=lambda codec: (math.isnan(first[codec]), first[codec]))
    cells = [["", *(title(name).removesuffix(" (dB)") for name in metrics)]]
    cells += [
        [codec, *(_percent(rates.get((codec, m), math.nan)) for m in metrics)] for codec in ranked
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return [
        f"{dataset}: bits at equal quality, against {anchor} (BD-rate; negative is better)",
        *("  ".join(_padded(row, widths)).rstrip() for row in cells),
    ]


def _percent(value: float) -> str:
    return f"{number(value, 1, sign=True)} %" if not math.isnan(value) else "-"


def _padded(row: list[str], widths: list[int]) -> list[str]:
    return [
        f"  {row[0]:<{widths[0]}}",
        *(f"{t:>{w}}" for t, w in zip(row[1:], widths[1:], strict=True)),
    ]
