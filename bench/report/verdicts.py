"""What the numbers say, in sentences: which codec wins where, by how much, and why."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import summary
from bench.analysis.bjontegaard import Delta
from bench.metrics.columns import column, curve_columns
from bench.output.coverage import count_text
from bench.output.coverage import listed as shortened
from bench.report.bit_allocation import Ledger

_GRID = 400
_JUDGES = {
    "psnr": "squared errors",
    "ms_ssim": "structure",
    "lpips": "what a neural network sees",
}
_SHORT = 0.08  # a lead over less than this share of the log-rate range is a tie, not a range


@dataclass(frozen=True, slots=True)
class Lead:
    """A range of rates with its best codec.

    Attributes
    ----------
    low, high
        In bpp.
    codec
        Whose mean curve is best there, among those that cover the rate.
    absent
        The leader of the next range up or down, if it has no points in this one.
    """

    low: float
    high: float
    codec: str
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who wins by one metric.

    Attributes
    ----------
    metric
        Column.
    winner
        Codec with the lowest BD-rate; empty where no delta is computable.
    second
        The next one; empty where there is none.
    delta
        Of ``winner`` against ``second``: negative is the saving.
    leads
        Who is best at which rate.
    """

    metric: str
    winner: str
    second: str
    delta: Delta | None
    leads: tuple[Lead, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval over images excludes a draw."""
        return self.delta is not None and self.delta.ci_high is not None and self.delta.ci_high < 0

    @property
    def tied(self) -> bool:
        """Whether the saving is nothing as it is shown."""
        return self.delta is not None and abs(self.delta.bd_rate_percent or 0.0) < 0.05

    @property
    def contradicted(self) -> bool:
        """Whether ``winner``, best against the anchor, needs more bits than ``second`` directly.

        Each BD-rate is over the qualities that its own two curves share.
        """
        rate = self.delta.bd_rate_percent if self.delta else None
        return rate is not None and rate > 0 and not self.tied

    @property
    def losses(self) -> dict[str, float]:
        """Images on which ``winner`` needs more bits than ``second``, in percent, worst first."""
        rates = self.delta.image_rates if self.delta else {}
        return {i: r for i, r in sorted(rates.items(), key=lambda item: -item[1]) if r > 0}

    @property
    def images_won(self) -> tuple[int, int]:
        """On how many images ``winner`` needs fewer bits than ``second``, of how many."""
        rates = list(self.delta.image_rates.values()) if self.delta else []
        return sum(rate < 0 for rate in rates), len(rates)


def verdicts(rows: pd.DataFrame | summary.Selection, bd: pd.DataFrame) -> list[Verdict]:
    """Return the verdict of each metric on one dataset.

    Parameters
    ----------
    rows
        Rows of one dataset, or what was selected of them.
    bd
        Its lines of ``summary.bd_table``.
    """
    chosen = summary.Selection.of(rows)
    kept, means = chosen.comparable, summary.summarise(chosen)
    found = []
    for metric in curve_columns(means):
        lines = bd[(bd["metric"] == metric) & (bd["method"] == "pchip")]
        rates = dict(zip(lines["codec"], lines["bd_rate_percent"], strict=True))
        rates = {str(c): float(r) for c, r in rates.items() if not math.isnan(r)}
        if rates:
            rates[str(lines["anchor"].iloc[0])] = 0.0
        ranked = sorted(rates, key=lambda codec: (rates[codec], codec))
        winner, second = (*ranked, "", "")[:2]
        delta = None
        if second:
            delta = summary.delta(
                summary.image_curves(kept[kept["codec"] == second], metric),
                summary.image_curves(kept[kept["codec"] == winner], metric),
                metric,
            )
        found.append(Verdict(metric, winner, second, delta, leads(means, metric)))
    return found


def leads(means: pd.DataFrame, metric: str) -> tuple[Lead, ...]:
    """Return who is best at which rate, by the mean curves as drawn: straight over log bpp.

    Rates that fewer than two codecs cover are left out; so are lossless points.
    """
    sign = 1 if column(metric).higher_is_better else -1
    codecs = sorted({str(codec) for codec in means["codec"]})
    curves = {codec: summary.curve(means, codec, metric) for codec in codecs}
    curves = {codec: points for codec, points in curves.items() if len(points) > 1}
    if len(curves) < 2:
        return ()
    logs = {codec: np.log(curve[:, 0]) for codec, curve in curves.items()}
    grid = np.linspace(min(x[0] for x in logs.values()), max(x[-1] for x in logs.values()), _GRID)
    table = np.array(
        [
            np.interp(grid, logs[c], sign * curve[:, 1], np.nan, np.nan)
            for c, curve in curves.items()
        ]
    )
    wide = np.flatnonzero((~np.isnan(table)).sum(axis=0) > 1)
    if not len(wide):
        return ()
    names, best = list(curves), np.nanargmax(table[:, wide], axis=0)
    runs = [(k, [i for i, _ in g]) for k, g in itertools.groupby(enumerate(best), lambda p: p[1])]
    ends = [np.exp(grid[wide[[at[0], at[-1]]]]).tolist() for _, at in runs]
    found = [Lead(low, high, names[k]) for (low, high), (k, _) in zip(ends, runs, strict=True)]
    return _named(_merged(found, _SHORT * (grid[-1] - grid[0])), logs)


def _merged(found: Sequence[Lead], short: float) -> list[Lead]:
    """Return the ranges without the ones too short to mention; neighbours of one codec as one."""
    kept = [lead for lead in found if math.log(lead.high / lead.low) >= short] or list(found[:1])
    merged = [kept[0]]
    for lead in kept[1:]:
        before = merged[-1]
        if lead.codec == before.codec:
            merged[-1] = replace(before, high=lead.high)
        else:
            middle = math.sqrt(before.high * lead.low)
            merged[-1] = replace(before, high=middle)
            merged.append(replace(lead, low=middle))
    merged[0] = replace(merged[0], low=found[0].low)
    merged[-1] = replace(merged[-1], high=found[-1].high)
    return merged


def _named(found: Sequence[Lead], logs: Mapping[str, NDArray[np.float64]]) -> tuple[Lead, ...]:
    """Note where a codec leads only because its neighbour's curve ends or has not begun."""
    named = []
    for before, lead, after in zip([None, *found], found, [*found[1:], None], strict=False):
        absent = ""
        if after and logs[after.codec][0] >= math.log(lead.high) - _SHORT:
            absent = after.codec
        if before and logs[before.codec][-1] <= math.log(lead.low) + _SHORT:
            absent = before.codec
        named.append(replace(lead, absent=absent))
    return tuple(named)


def reasons(
    means: pd.DataFrame,
    ceilings: pd.DataFrame,
    ledger: Ledger,
    names: Mapping[str, str],
    found: Sequence[Verdict],
) -> list[str]:
    """Return what explains the differences on one dataset, as far as the numbers say.

    Parameters
    ----------
    means, ceilings
        Of the dataset.
    ledger
        Its rate ledger.
    names
        Codec -> what the page calls it.
    found
        Its verdicts.
    """
    return [
        *_chroma(means, ceilings, names),
        *_overhead(ledger, names),
        *_spread(found, names),
        *_disagreement(found, names),
    ]


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _chroma(means: pd.DataFrame, ceilings: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Say which codecs halve the resolution of colour, and what that costs at most."""
    labels = dict(zip(means["codec"], means["label"], strict=True))
    values = dict(zip(ceilings["codec"], ceilings["ceiling_psnr_db"], strict=True))
    half = [str(c) for c, label in labels.items() if "4:2:0" in str(label)]
    full = [str(c) for c, label in labels.items() if "4:4:4" in str(label) or "RGB" in str(label)]
    if not half or not full:
        return []
    parts = [f"{values[c]:.1f} dB for {names[c]}" for c in half if c in values]
    all_known = len(half) + len(full) == len(labels)  # a label of another codec may say neither
    text = (
        f"{listed([names[c] for c in half])} store{'s' if len(half) == 1 else ''} colour at half "
        f"resolution (4:2:0), {'the others' if all_known else listed([names[c] for c in full])} "
        f"do{'es' if len(full) == 1 and not all_known else ''} not."
    )
    if parts:
        text += f" Even with nothing lost in coding, PSNR could not exceed {listed(parts)}."
    return [text]


def _overhead(ledger: Ledger, names: Mapping[str, str]) -> list[str]:
    """Say which share of the smallest files is not picture."""
    shares = {
        codec: curve[0].overhead
        for codec, curve in ledger.curves.items()
        if curve and curve[0].itemised
    }
    if len(shares) < 2 or max(shares.values()) < 0.02:
        return []
    ranked = sorted(shares, key=lambda codec: -shares[codec])
    parts = [f"{100 * shares[c]:.{0 if shares[c] > 0.1 else 1}f} % in {names[c]}" for c in ranked]
    return [f"In the smallest files headers and side information take {listed(parts)}."]


def _spread(found: Sequence[Verdict], names: Mapping[str, str]) -> list[str]:
    """Say how far the winner's saving depends on the image."""
    verdict = next((v for v in found if v.delta and len(v.delta.image_rates) > 1), None)
    if verdict is None or verdict.delta is None:
        return []
    if all(abs(rate) < 0.05 for rate in verdict.delta.image_rates.values()):
        return []
    rates = sorted(verdict.delta.image_rates.items(), key=lambda item: item[1])
    (best, low), (worst, high) = rates[0], rates[-1]
    text = (
        f"It depends on the picture: at equal {words(verdict.metric)}, {names[verdict.winner]} "
        f"needs {change(low)} than {names[verdict.second]} on {best}"
    )
    only = "only " if low < 0 and high < 0 else ""
    return [f"{text}, but {only}{change(high)} on {worst}."]


def _disagreement(found: Sequence[Verdict], names: Mapping[str, str]) -> list[str]:
    """Say that the metrics do not agree, if they do not."""
    winners = {v.metric: v.winner for v in found if v.winner and not v.contradicted}
    if len(set(winners.values())) < 2:
        return []
    by_codec = {c: [words(m) for m, w in winners.items() if w == c] for c in winners.values()}
    parts = [f"{names[codec]} by {listed(metrics)}" for codec, metrics in by_codec.items()]
    text = f"The metrics do not agree on the best: {listed(parts)}."
    # of the metrics that were measured, and of no other
    judged = {words(m): _JUDGES[f] for m in winners if (f := column(m).family) in _JUDGES}
    if len(judged) > 1:
        text += f" {listed([f'{name} judges {what}' for name, what in judged.items()])}."
    return [text]


def words(metric: str) -> str:
    """Return what sentences call a metric."""
    return column(metric).short


def change(percent: float) -> str:
    """Return ``9.2 % fewer bits`` or ``68 % more bits``."""
    size = abs(percent)
    digits = 0 if size >= 19.95 else 1
    return f"{size:.{digits}f} % {'fewer' if percent < 0 else 'more'} bits"


def headline(found: Sequence[Verdict], names: Mapping[str, str]) -> str:
    """Return the answer in one sentence."""
    by_winner: dict[str, list[str]] = {}
    for verdict in found:
        if verdict.winner and verdict.second:
            by_winner.setdefault(_outcome(verdict, names), []).append(words(verdict.metric))
    if not by_winner:
        return "No winner can be named: no two curves can be compared."
    parts = [f"{outcome} at equal {listed(metrics)}" for outcome, metrics in by_winner.items()]
    return f"{'; '.join(parts)}."


def _outcome(verdict: Verdict, names: Mapping[str, str]) -> str:
    winner = names[verdict.winner]
    if verdict.tied:
        return f"{winner} and {names[verdict.second]} need equally many bits"
    if verdict.contradicted:
        return f"{winner} and {names[verdict.second]} cannot be ranked"
    verb = "is ahead, but not clearly," if _unsettled(verdict) else "needs the fewest bits"
    return f"{winner} {verb}"


def _unsettled(verdict: Verdict) -> bool:
    """Whether an interval exists and includes a draw."""
    delta = verdict.delta
    return delta is not None and delta.ci_high is not None and delta.ci_high >= 0


def sentence(verdict: Verdict, names: Mapping[str, str]) -> str:
    """Return the verdict of one metric in words."""
    delta = verdict.delta
    if not verdict.winner or delta is None or delta.bd_rate_percent is None:
        return "No two curves can be compared: see the notes of the BD-rate table."
    if verdict.tied:
        return f"{_outcome(verdict, names)}."
    text = (
        f"{names[verdict.winner]} needs {change(delta.bd_rate_percent)} than the next best, "
        f"{names[verdict.second]}"
    )
    if verdict.contradicted:
        text = (
            f"{_outcome(verdict, names)}: {names[verdict.winner]} needs the fewest bits against "
            f"the anchor, but {change(delta.bd_rate_percent)} than {names[verdict.second]} where "
            "these two are compared"
        )
    if delta.ci_low is None or delta.ci_high is None:
        text += ". There are too few images for an interval."
    elif verdict.contradicted:
        interval = f"{change(delta.ci_low)} to {change(delta.ci_high)}"
        text += f" (95 % interval over images: {interval})."
    elif delta.ci_high >= 0:
        text += (
            f", but the 95 % interval over images reaches from {change(delta.ci_low)} to "
            f"{change(delta.ci_high)}: not settled."
        )
    else:
        text += f" (95 % interval over images: {-delta.ci_high:.1f} to {-delta.ci_low:.1f} %)."
    won, of = verdict.images_won
    return f"{text} It needs fewer on {won} of {count_text(of, 'image')}." if of else text


def loss_sentence(verdict: Verdict, names: Mapping[str, str]) -> str:
    """Return on which images the winner needs more bits than the next best, worst first."""
    if not verdict.losses or verdict.tied or verdict.contradicted:
        return ""
    lost = [f"{image} (+{rate:.1f} %)" for image, rate in verdict.losses.items()]
    return f"{names[verdict.winner]} needs more than {names[verdict.second]} on {shortened(lost)}."


def lead_sentence(verdict: Verdict, names: Mapping[str, str]) -> str:
    """Return in words which codec is best at which rate."""
    if not verdict.leads or verdict.tied:
        return ""
    if len(verdict.leads) == 1:
        lead = verdict.leads[0]
        return f"{names[lead.codec]} is best at every rate from {_span(lead)}."
    parts = []
    for lead in verdict.leads:
        why = f" ({names[lead.absent]} has no points there)" if lead.absent else ""
        parts.append(f"{names[lead.codec]} from {_span(lead)}{why}")
    return f"Best by rate: {'; '.join(parts)}."


def _span(lead: Lead) -> str:
    return f"{lead.low:.2f} to {lead.high:.2f} bpp"
