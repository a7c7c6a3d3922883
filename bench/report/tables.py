"""The tables of the page: rate and quality, Bjontegaard deltas, ledger, limits, failures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS
from bench.analysis.published_curves import Reference
from bench.measurement.rows import records
from bench.metrics.columns import column, quality_columns
from bench.output import complexity, reported_rates
from bench.output.coverage import count_text, varying_text
from bench.output.figure import REPORTED
from bench.output.tables import arrow
from bench.report import verdicts
from bench.report.bit_allocation import GROUPS
from bench.report.dataset_view import Context
from bench.report.html import NO_VALUE, Table, Td, render, term


def _head(metric: str) -> Markup:
    about = column(metric)
    unit = f" ({about.unit})" if about.unit else ""
    return term(about.family, verdicts.words(metric)) + f"{unit} {arrow(metric)}"


def _codec(context: Context, codec: str) -> Td:
    look = context.looks[codec]
    return Td(Markup('<span title="{}">{}</span>').format(look.label, look.tag()), look.name)


def short_setting(context: Context, codec: str, setting: str) -> str:
    """Return what varies along a codec's curve: ``qp 33``."""
    return varying_text(setting, context.settings.get(codec, ()))


def bd_rates(context: Context) -> Markup:
    """Return Bjontegaard rates of every codec by every metric, the best first, the anchor too."""
    rows = []
    notes: dict[str, int] = {}
    for metric, of_metric in context.bd.groupby("metric", sort=False):
        by_codec = {
            str(codec): {str(line["method"]): line for line in records(lines)}
            for codec, lines in of_metric.groupby("codec", sort=False)
        }
        rates = {c: float(by[METHODS[0]]["bd_rate_percent"]) for c, by in by_codec.items()}
        rates |= {context.anchor: 0.0} if context.anchor in context.looks_measured else {}
        best = min((rate for rate in rates.values() if not math.isnan(rate)), default=math.nan)
        for codec in sorted(rates, key=lambda c: (math.isnan(rates[c]), rates[c], c)):
            line = _bd_line(context, str(metric), codec, by_codec.get(codec, {}), notes)
            if rates[codec] == best:
                line[2] = replace(line[2], best=True)
            rows.append(line)
    known_anchor = context.looks.get(context.anchor)  # asked for, but not of this dataset: None
    anchor = known_anchor.label if known_anchor else context.anchor
    return Table(
        name=f"bd-rate-{context.name}",
        caption=f"BD-rate against {anchor}, {context.name}, {context.counts(context.metrics)}",
        head=[
            *("Metric", "Codec", term("bd_rate", "BD-rate") + " (%) ↓"),
            *(term("interval", "95 % interval"), term("bd_quality", "BD-quality")),
            *(term("spread", "Median image (%)"), term("spread", "Worst image (%)")),
            *(term("interpolation", name) for name in ("akima (%)", "cubic (%)")),
            *(term("overlap", "Overlap (%)"), "Note"),
        ],
        rows=rows,
        filter_by=0,
        notes=list(notes),
    ).markup()


def _bd_line(
    context: Context,
    metric: str,
    codec: str,
    by: Mapping[str, Mapping[str, Any]],
    notes: dict[str, int],
) -> list[Td]:
    """Return the cells of one codec and metric; a note is its number in ``notes``.

    ``by``: method -> line; empty for the anchor.
    """
    names = [Td.text(verdicts.words(metric)), _codec(context, codec)]
    if not by:
        nothing = Td(NO_VALUE, None, "n")
        return [*names, Td.num(0.0, 1), *[nothing] * 7, Td("anchor", "the anchor", "note")]
    head = by[METHODS[0]]
    median, worst, image = context.spread(codec, metric)
    low, high = float(head["ci_low"]), float(head["ci_high"])
    interval = NO_VALUE if math.isnan(low) else f"{_signed(low)} to {_signed(high)}"
    on = Markup(" <small>{}</small>").format(image) if image else ""
    said = dict.fromkeys(n for line in by.values() for n in str(line["note"]).split("; ") if n)
    numbers = [str(notes.setdefault(note, len(notes) + 1)) for note in said]
    rates = [float(by[m]["bd_rate_percent"]) if m in by else math.nan for m in METHODS]
    return [
        *names,
        Td.num(rates[0], 1, sign=True),
        Td(interval, None if math.isnan(low) else low, "n"),
        Td.num(float(head["bd_quality"]), column(metric).digits, sign=True),
        Td.num(median, 1, sign=True),
        Td(escape(_signed(worst)) + on, _sortable(worst), "n"),
        *(Td.num(rate, 1, sign=True) for rate in rates[1:]),
        Td.num(float(head["overlap_percent"]), 0),
        Td(", ".join(numbers), "; ".join(said), "note"),
    ]


def reported(context: Context, references: Sequence[Reference]) -> Markup:
    """Return Bjontegaard rates against published curves; nothing where none is of the dataset."""
    lines = records(reported_rates.rates(context.chosen, references))
    rows = [
        [
            Td.text(verdicts.words(line["metric"])),
            Td.text(line["reference"]),
            _codec(context, str(line["codec"])),
            Td.num(float(line["bd_rate_percent"]), 1, sign=True),
            Td.num(float(line["bd_quality"]), column(line["metric"]).digits, sign=True),
            Td.num(float(line["overlap_percent"]), 0),
            Td.text(line["note"]),
        ]
        for line in lines
    ]
    notes = dict.fromkeys(f"{line['reference']}, {REPORTED}: {line['source']}" for line in lines)
    if not rows:
        return Markup("")
    return Table(
        name=f"bd-rate-reported-{context.name}",
        caption=f"BD-rate against published curves ({REPORTED}), {context.name}",
        head=[
            *("Metric", "Published curve", "Codec", term("bd_rate", "BD-rate") + " (%) ↓"),
            *(term("bd_quality", "BD-quality"), term("overlap", "Overlap (%)"), "Note"),
        ],
        rows=rows,
        filter_by=0,
        notes=[*notes, reported_rates.NOTE],
    ).markup()


def per_image(context: Context) -> Markup:
    """Return the BD-rate of each image by itself, every codec against the anchor."""
    metrics = [m for m in context.metrics if any(key[1] == m for key in context.deltas)]
    codecs = list(dict.fromkeys(codec for codec, _ in context.deltas))
    if not metrics or context.anchor not in context.looks_measured:
        return Markup("")
    found = {key: delta.image_rates for key, delta in context.deltas.items()}
    mean = {c: context.deltas[c, metrics[0]].bd_rate_percent for c in codecs}
    codecs.sort(key=lambda codec: (mean[codec] is None, mean[codec] or 0.0, codec))
    rows = []
    for metric in metrics:
        images = {image for codec in codecs for image in found.get((codec, metric), {})}
        for image in sorted(images, key=summary.natural):
            rates = [found.get((codec, metric), {}).get(image, math.nan) for codec in codecs]
            cells = [
                replace(Td.num(rate, 1, sign=True), kind="n worse" if rate > 0 else "n")
                for rate in rates
            ]
            rows.append([Td.text(verdicts.words(metric)), Td(image, image, "image"), *cells])
    return Table(
        name=f"images-{context.name}",
        caption=f"BD-rate of each image in percent, against {context.looks[context.anchor].name}, "
        f"{context.name}: minus needs fewer bits than the anchor, plus needs more",
        head=["Metric", "Image", *(context.looks[codec].name for codec in codecs)],
        rows=rows,
        filter_by=0,
        chosen=verdicts.words(metrics[0]),
    ).markup()


def _signed(value: float) -> str:
    return Td.num(value, 1, sign=True).html


def _sortable(value: float) -> float | None:
    return None if math.isnan(value) else value


def rates(context: Context) -> Markup:
    """Return the means of every point of every curve."""
    metrics = quality_columns(context.means)
    fewer = {column(m).source: m for m in reversed(metrics) if context.over(m) != context.over()}
    apart = {metric: metric in fewer.values() for metric in metrics}  # with a rate of their own
    rows, heads = [], []
    for metric in metrics:
        own_rate = f"bpp ({context.over(metric).removesuffix(' images')})"
        heads += [own_rate] * apart[metric] + [_head(metric)]
    for line in records(context.means):
        codec, cells = str(line["codec"]), []
        for metric in metrics:
            own = Td.num(float(line[f"bpp_{metric}"]), 3)
            cells += [own] * apart[metric]
            cells.append(Td.num(float(line[metric]), column(metric).digits))
        rows.append(
            [
                _codec(context, codec),
                Td.text(short_setting(context, codec, str(line["setting"]))),
                Td.num(float(line["bpp"]), 3),
                *cells,
            ]
        )
    return Table(
        name=f"summary-{context.name}",
        caption=f"Rate and quality, {context.name}: means of per-image values, "
        f"{context.counts(metrics)}",
        head=["Codec", term("rung", "Setting"), term("bpp", "bpp") + " ↓", *heads],
        rows=rows,
        filter_by=0,
    ).markup()


def ledger(context: Context) -> Markup:
    """Return bars of what files are spent on, lowest and highest rate, and the whole table."""
    found = context.ledger
    over = f"mean of {', '.join(found.images)}" if found.images else ""
    return render(
        "bytes.html",
        groups=GROUPS,
        # or its rates seem to contradict those of the tables
        part=verdicts.listed(found.images) if 0 < len(found.images) < context.images else "",
        images=context.images,
        curves=[(context.looks[codec], curve) for codec, curve in found.curves.items() if curve],
        missing=found.missing,
        table=_ledger_table(context, over),
    )


def _ledger_table(context: Context, over: str) -> Markup:
    rows = []
    for codec, curve in context.ledger.curves.items():
        for point in curve:
            parts = ", ".join(
                f"{part.replace('_', ' ')} {size:.0f}" for part, size in point.parts.items()
            )
            rows.append(
                [
                    _codec(context, codec),
                    Td.text(short_setting(context, codec, point.setting)),
                    Td.num(point.bpp, 3),
                    Td.num(point.total_bytes, 0),
                    *(Td.num(point.groups.get(name, 0.0), 0) for name in GROUPS),
                    Td.text(parts),
                ]
            )
    return Table(
        name=f"ledger-{context.name}",
        caption=f"Bytes a file, {context.name}: {over}",
        head=["Codec", "Setting", "bpp", "Bytes", *GROUPS.values(), "The codec's own words"],
        rows=rows,
        filter_by=0,
    ).markup()


def codecs(context: Context) -> Markup:
    """Return what each codec is, the range it was measured over and its ceiling."""
    ceilings: Mapping[str, float] = {
        str(line["codec"]): float(line["ceiling_psnr_db"]) for line in records(context.ceilings)
    }
    counts = sorted({int(count) for count in context.ceilings["images"]})
    over = (
        ""
        if counts in ([], [context.images])
        else (
            f" (over {' or '.join(map(str, counts))} of {count_text(context.cover.total, 'image')})"
        )
    )
    rows = []
    for codec, curve in context.means.groupby("codec", sort=True):
        look = context.looks[str(codec)]
        low, high = float(curve["bpp"].min()), float(curve["bpp"].max())
        value = ceilings.get(str(codec), math.nan)
        shown = "none: loses nothing" if math.isinf(value) else Td.num(value, 2).html
        rows.append(
            [
                Td(look.tag(), look.name),
                Td.text(look.label),
                Td.text(look.title),
                Td.num(float(len(curve)), 0),
                Td(f"{low:.2f} to {high:.2f}", low, "n"),
                Td(shown, _sortable(value), "n"),
                *_complexity(context, str(codec)),
                *_speeds(context, str(codec)),
                Td.text(look.note),
            ]
        )
    ways = ("Encode (MP/s) ↑", "Decode (MP/s) ↑") if context.speeds.codecs else ()
    return Table(
        name=f"codecs-{context.name}",
        caption=f"Codecs, {context.name}, {context.over()}, with the best PSNR that their colour "
        f"format allows{over}",
        head=[
            *("Codec", "Chroma, depth, encoder", "What it is", term("rung", "Rungs"), "bpp"),
            term("ceiling", "No-codec ceiling") + " (dB) ↑",
            *(complexity.HEADS if context.costs.codecs else ()),
            *ways,
            "Caveat",
        ],
        rows=rows,
        notes=complexity.NOTES if context.costs.codecs else (),
    ).markup()


def _complexity(context: Context, codec: str) -> list[Td]:
    """Return the cells of what a codec's network costs; none where nothing was counted."""
    if not context.costs.codecs:
        return []
    spans = [context.costs.span(codec, name) for name in complexity.COUNTED]
    return [
        Td(text or NO_VALUE, span[0] if span else None, "n")
        for text, span in zip(complexity.texts(context.costs, codec), spans, strict=True)
    ]


def _speeds(context: Context, codec: str) -> list[Td]:
    """Return the cells of a codec's speed; none where none was measured."""
    if not context.speeds.codecs:
        return []
    speed = context.speeds.codecs.get(codec)
    return [Td.significant(v) for v in ((speed.encode, speed.decode) if speed else [math.nan] * 2)]


def failures(context: Context) -> list[Markup]:
    """Return what failed, and which images and points the means lack."""
    failed, aside = summary.failures(context.rows), context.cover.aside
    blocks = [_failed(context, failed)]
    if len(lost := context.cover.missing):
        caption = f"Images left out of every mean, {context.name}"
        lines = [
            [Td.text(line[k]) for k in ("image", "codec", "settings", "reason")]
            for line in records(lost)
        ]
        heads = ["Image", "Codec", "Missing settings", "Why"]
        blocks.append(Table(f"left-out-{context.name}", caption, heads, lines).markup())
    if len(fewer := context.cover.left_out):
        caption = f"Images left out of the means of a metric, {context.name}"
        lines = [
            [Td.text(column(line["metric"]).words), Td.text(line["image"]), Td.text(line["reason"])]
            for line in records(fewer)
        ]
        heads = ["Metric", "Image", "Why"]
        blocks.append(Table(f"metrics-{context.name}", caption, heads, lines).markup())
    set_aside = Markup("<p>Set aside: {} at {}, tried on {} of {} images.</p>")
    for line in records(aside):
        look = context.looks[str(line["codec"])]
        setting = short_setting(context, look.codec, str(line["setting"]))
        blocks.append(set_aside.format(look.tag(), setting, line["images"], line["most"]))
    return blocks


def _failed(context: Context, failed: pd.DataFrame) -> Markup:
    if failed.empty:
        text = Markup("<p>{}: none of {} encodings failed.</p>")
        return text.format(context.name, len(context.rows))
    lines = [
        [
            Td.text(line["label"]),
            Td(f"{line['cells']} of {line['attempted']}", float(line["cells"]), "n"),
            Td.text(line["images"]),
            Td.text(line["error"]),
        ]
        for line in records(failed)
    ]
    heads = ["Codec", "Failed", "Images", "Error"]
    name, caption = f"failures-{context.name}", f"Failures, {context.name}"
    return Table(name, caption, heads, lines).markup()


def unavailable(found: Sequence[tuple[str, str]]) -> Markup:
    """Return the codecs that could not run, with the reasons."""
    if not found:
        return Markup("<p>Every codec that was asked for could run.</p>")
    lines = [
        [Td.text(name), Td.text(reason.removeprefix(f"codec {name} is unavailable: "))]
        for name, reason in found
    ]
    caption = "Codecs that could not run on this machine"
    return Table("unavailable", caption, ["Codec", "Why"], lines).markup()
