"""The first screen: which codec wins where, by how much, and why, in words and bars."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.metrics.columns import column
from bench.output.table_formats import number
from bench.output.tables import title
from bench.report import verdicts
from bench.report.dataset_view import Context, defined
from bench.report.html import esc, term
from bench.report.results import records


def metric_term(metric: str) -> str:
    """Return a metric's name as a word that explains itself."""
    return term(column(metric).family, verdicts.words(metric))


def section(context: Context) -> str:
    """Return headline, one card a metric, reasons and caveats of one dataset."""
    marks = context.marks
    headline = context.prose(verdicts.headline(context.verdicts, marks))
    cards = "".join(_card(context, verdict) for verdict in context.verdicts)
    return (
        f'<p class="answer">{headline}</p>'
        f'<div class="cards">{cards}</div>'
        f'<div class="columns">{_reasons(context)}{_caveats(context)}</div>'
    )


def _card(context: Context, verdict: verdicts.Verdict) -> str:
    told = context.prose(verdicts.sentence(verdict, context.marks))
    by_rate = context.prose(verdicts.lead_sentence(verdict, context.marks))
    return (
        f'<article class="card"><h3>At equal {metric_term(verdict.metric)}</h3>'
        f"<p>{told}</p>{_bars(context, verdict.metric)}"
        f"{f'<p class=small>{by_rate}</p>' if by_rate else ''}</article>"
    )


def _bars(context: Context, metric: str) -> str:
    """Return one bar a codec: bits needed for equal quality, the anchor's being 100."""
    lines = context.bd[(context.bd["metric"] == metric) & (context.bd["method"] == "pchip")]
    rates: dict[str, tuple[float, float, float]] = {
        str(line["codec"]): (line["bd_rate_percent"], line["ci_low"], line["ci_high"])
        for line in records(lines)
    }
    known = {codec: rate for codec, rate in rates.items() if not math.isnan(rate[0])}
    if not known:
        return ""
    known[context.anchor] = (0.0, math.nan, math.nan)
    longest = max(100 + (rate[0] if math.isnan(rate[2]) else rate[2]) for rate in known.values())
    rows = "".join(
        _bar(context, codec, known[codec], longest)
        for codec in sorted(known, key=lambda c: (known[c][0], c))
    )
    unknown = [context.looks[c].tag() for c in rates if c not in known]
    also = f'<p class="small">Not comparable: {", ".join(unknown)}.</p>' if unknown else ""
    anchor = esc(context.looks[context.anchor].name)
    drawn = any(not math.isnan(rate[1]) for rate in known.values())
    whiskers = f"; whiskers: {term('interval', '95 % interval')}" if drawn else ""
    axis = f"{term('bd_rate', 'Bits needed')}, {anchor} = 100{whiskers}"
    return (
        f'<div class="bars" role="table" aria-label="Bits for equal {esc(title(metric))}">'
        f'<p class="axis" role="caption">{axis}</p>{rows}</div>{also}'
    )


def _bar(context: Context, codec: str, rate: tuple[float, float, float], longest: float) -> str:
    look, (middle, low, high) = context.looks[codec], rate
    whisker = ""
    if not math.isnan(low):
        left, width = 100 * (100 + low) / longest, 100 * (high - low) / longest
        whisker = f'<i class="whisker" style="left:{left:.2f}%;width:{width:.2f}%"></i>'
    told = (
        "anchor"
        if codec == context.anchor
        else f"{number(middle, 0 if abs(middle) >= 99.5 else 1, sign=True)} %"
    )
    between = "" if math.isnan(low) else f", {number(low, 1)} to {number(high, 1)} %"
    return (
        f'<div class="bar" role="row" title="{esc(look.label)}: {esc(told)}{esc(between)}">'
        f'<span role="rowheader">{look.tag()}</span>'
        f'<span class="track"><b class="k{look.index}" style="width:'
        f'{100 * (100 + middle) / longest:.2f}%"></b>{whisker}</span>'
        f'<span role="cell" class="value">{number(100 + middle, 0)}</span>'
        f'<span role="cell">{esc(told)}</span>'
        "</div>"
    )


def _reasons(context: Context) -> str:
    found = verdicts.reasons(
        context.rows, context.ceilings, context.ledger, context.marks, context.verdicts
    )
    if not found:
        return ""
    items = "".join(f"<li>{context.prose(text)}</li>" for text in found)
    return f"<div><h3>Why</h3><ul>{items}</ul></div>"


def _caveats(context: Context) -> str:
    """Return what must be known before the numbers are believed."""
    measured = set(context.means["codec"])
    items = [
        f"{look.tag()}: {esc(look.note)}."
        for look in context.looks.values()
        if look.note and look.codec in measured
    ]
    total = context.rows["image"].nunique()
    if context.images < total:
        items.append(
            f"Means are over the {context.images} of {total} images that every codec has: see "
            '<a href="#failures">failures</a>.'
        )
    if context.images < 5:
        items.append(
            f"{context.images} images are few: no {term('interval', 'interval')} can be given."
        )
    worst = [
        delta.overlap_percent
        for delta in context.deltas.values()
        if delta.overlap_percent is not None and delta.bd_rate_percent is not None
    ]
    if worst and min(worst) < 60:
        items.append(
            f"Some curves share little of their quality range (the least: {min(worst):.0f} %): see "
            f"the column {term('overlap', 'overlap')} of the BD-rate table."
        )
    items.append("Speed is not on this page: it has to be measured apart, alone on a machine.")
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f'<div class="caveats"><h3>Read with care</h3><ul>{listed}</ul></div>'


def spread(context: Context, codec: str, metric: str) -> Mapping[str, float | str]:
    """Return median and worst image of a codec's BD-rates over images, NaN where unknown."""
    delta = context.deltas.get((codec, metric))
    if delta is None or delta.worst is None:
        return {"median": math.nan, "worst": math.nan, "image": ""}
    name, value = delta.worst
    return {"median": defined(delta.median_percent), "worst": value, "image": name}
