"""What the page says and shows of speed: a sentence beside every verdict, a card, columns."""

from __future__ import annotations

import math

from markupsafe import Markup

from bench.measurement.rows import records
from bench.output.speed import Speed
from bench.output.table_formats import number
from bench.report.dataset_view import Context
from bench.report.html import NO_VALUE, Table, Td, render, term
from bench.report.tables import short_setting
from bench.report.verdicts import listed, words

_SAME = 1.05  # speeds closer than this factor are called equal


def ratio_words(times: float, verb: str) -> str:
    """Return how fast, in words: ``1.3 times slower to encode``; empty where it is unknown.

    Parameters
    ----------
    times
        How many times as fast it is.
    verb
        What it does.
    """
    if math.isnan(times):
        return ""
    if 1 / _SAME < times < _SAME:
        return f"as fast to {verb}"
    factor = max(times, 1 / times)
    how = "faster" if times > 1 else "slower"
    return f"{number(factor, 0 if factor >= 9.95 else 1)} times {how} to {verb}"


def sentence(context: Context, codec: str, other: str) -> str:
    """Return how much slower or faster one codec is than another; empty where it is unknown."""
    speeds = context.speeds.codecs
    if codec not in speeds or other not in speeds:
        return ""
    mine, its = speeds[codec], speeds[other]
    parts = [ratio_words(mine.times(its, way), way) for way in ("encode", "decode")]
    parts = [part for part in parts if part]
    marks = context.marks
    return f"{marks[codec]} is {' and '.join(parts)} than {marks[other]}." if parts else ""


def card(context: Context) -> Markup:
    """Return the card of speed beside BD-rates; empty where no speed is known."""
    speeds = context.speeds
    if not speeds.codecs:
        return Markup("")
    metric = context.metrics[0] if context.metrics else ""
    lines = context.bd[(context.bd["metric"] == metric) & (context.bd["method"] == "pchip")]
    rates = {str(line["codec"]): float(line["bd_rate_percent"]) for line in records(lines)}
    rates |= {context.anchor: 0.0} if rates else {}
    base = speeds.codecs.get(context.anchor)
    order = sorted(speeds.codecs, key=lambda c: (rates.get(c, math.inf), c))
    rows = [_line(context, codec, speeds.codecs[codec], base, rates) for codec in order]
    against = context.looks[context.anchor].name if base else ""
    heads = ["Codec"]
    if rates:
        heads.append(term("bd_rate", "BD-rate") + f", {words(metric)} (%) \u2193")
    for way in ("Encode", "Decode"):
        heads += [f"{way} (MP/s) \u2191", *([f"against {against}"] if base else [])]
    table = Table(
        name=f"speed-{context.name}",
        caption=f"Speed in megapixels a second, {context.name}",
        head=[*heads, "At", "bpp"],
        rows=rows,
    )
    return render(
        "speed.html",
        table=table.markup(),
        conditions=speeds.conditions,
        missing=missing(context),
    )


def missing(context: Context) -> list[Markup]:
    """Return why codecs have no speed: a sentence a reason."""
    said = [
        f"No speed of {listed([context.marks[codec] for codec in codecs])}: {reason}."
        for reason, codecs in context.speeds.reasons.items()
    ]
    return [context.prose(text) for text in filter(None, [context.speeds.unusable, *said])]


def _line(
    context: Context, codec: str, speed: Speed, base: Speed | None, rates: dict[str, float]
) -> list[Td]:
    """Return one codec's cells."""
    look = context.looks[codec]
    cells = [Td(look.tag(), look.name)]
    if rates:
        cells.append(Td.num(rates.get(codec, math.nan), 1, sign=True))
    for way in ("encode", "decode"):
        cells.append(Td.significant(getattr(speed, way)))
        if base is not None:
            times = speed.times(base, way)
            text = "anchor" if speed is base else ratio_words(times, way).partition(" to ")[0]
            cells.append(Td(text or NO_VALUE, None if math.isnan(times) else times, "n"))
    setting = short_setting(context, codec, speed.setting)
    setting += f", {speed.precision}" if speed.precision else ""
    return [*cells, Td(setting, setting, "nb"), Td.num(speed.bpp, 3)]
