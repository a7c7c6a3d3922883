"""The tables of the page: rate and quality, Bjontegaard deltas, ledger, limits, failures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS
from bench.metrics.columns import column, quality_columns
from bench.output.tables import arrow, setting_text
from bench.report import verdicts
from bench.report.bit_allocation import GROUPS, Point
from bench.report.dataset_view import Context
from bench.report.html import NO_VALUE, Table, Td, esc, term
from bench.report.results import records
from bench.report.summary_section import metric_term, spread


def _head(metric: str) -> str:
    unit = " (dB)" if metric.endswith("_db") else ""
    return f"{metric_term(metric)}{unit} {arrow(metric)}"


def _codec(context: Context, codec: str) -> Td:
    look = context.looks[codec]
    return Td(f'<span title="{esc(look.label)}">{look.tag()}</span>', look.name)


def short_setting(context: Context, codec: str, setting: str) -> str:
    """Return what varies along a codec's curve: ``qp 33``."""
    known = context.rows.loc[context.rows["codec"] == codec, "setting"].unique()
    settings = list(dict.fromkeys([*known, setting]))  # one made for the page may be new
    varying, _ = summary.split_settings(settings)
    values = varying[settings.index(setting)]
    return setting_text(
        {name: round(v, 3) if isinstance(v, float) else v for name, v in values.items()}
    )


def bd_rates(context: Context) -> str:
    """Return Bjontegaard rates of every codec by every metric, with their guard rails."""
    rows, classes = [], []
    for (metric, codec), lines in context.bd.groupby(["metric", "codec"], sort=False):
        by = {line["method"]: line for line in records(lines)}
        head = by["pchip"]
        rates = [float(by[m]["bd_rate_percent"]) if m in by else math.nan for m in METHODS]
        known = context.bd[(context.bd["metric"] == metric) & (context.bd["method"] == "pchip")]
        best = min(0.0, known["bd_rate_percent"].min())
        each = spread(context, str(codec), str(metric))
        low, high = float(head["ci_low"]), float(head["ci_high"])
        interval = NO_VALUE if math.isnan(low) else f"{_signed(low)} to {_signed(high)}"
        image = f" <small>{esc(each['image'])}</small>" if each["image"] else ""
        note = "; ".join(dict.fromkeys(str(line["note"]) for line in by.values() if line["note"]))
        rows.append(
            [
                Td.text(verdicts.words(str(metric))),
                _codec(context, str(codec)),
                Td.num(rates[0], 1, sign=True, best=rates[0] == best),
                Td(interval, None if math.isnan(low) else low, "n"),
                Td.num(float(head["bd_quality"]), column(str(metric)).digits, sign=True),
                Td.num(float(each["median"]), 1, sign=True),
                Td(_signed(float(each["worst"])) + image, _sortable(float(each["worst"])), "n"),
                *(Td.num(rate, 1, sign=True) for rate in rates[1:]),
                Td.num(float(head["overlap_percent"]), 0),
                Td(esc(note), note, "note" if note else ""),
            ]
        )
        classes.append("")
    known_anchor = context.looks.get(context.anchor)  # asked for, but not of this dataset: None
    anchor = known_anchor.label if known_anchor else context.anchor
    return Table(
        name=f"bd-rate-{context.name}",
        caption=f"BD-rate against {anchor}, {context.name}, {context.images} images",
        head=[
            *("Metric", "Codec", f"{term('bd_rate', 'BD-rate')} (%) ↓"),
            *(term("interval", "95 % interval"), term("bd_quality", "BD-quality")),
            *(term("spread", "Median image (%)"), term("spread", "Worst image (%)")),
            *(term("interpolation", name) for name in ("akima (%)", "cubic (%)")),
            *(term("overlap", "Overlap (%)"), "Note"),
        ],
        rows=rows,
        filter_by=0,
        classes=classes,
    ).markup()


def _signed(value: float) -> str:
    return Td.num(value, 1, sign=True).html


def _sortable(value: float) -> float | None:
    return None if math.isnan(value) else value


def rates(context: Context) -> str:
    """Return the means of every point of every curve."""
    metrics = quality_columns(context.means)
    rows = []
    for line in records(context.means):
        codec = str(line["codec"])
        rows.append(
            [
                _codec(context, codec),
                Td.text(short_setting(context, codec, str(line["setting"]))),
                Td.num(float(line["bpp"]), 3),
                *(Td.num(float(line[m]), column(m).digits) for m in metrics),
            ]
        )
    return Table(
        name=f"summary-{context.name}",
        caption=f"Rate and quality, {context.name}: means of per-image values, "
        f"{context.images} images",
        head=["Codec", term("rung", "Setting"), f"{term('bpp', 'bpp')} ↓", *map(_head, metrics)],
        rows=rows,
        filter_by=0,
    ).markup()


def ledger(context: Context) -> str:
    """Return bars of what files are spent on, lowest and highest rate, and the whole table."""
    found = context.ledger
    missing = "".join(f"<li>{esc(reason)}</li>" for reason in found.missing)
    blocks = "".join(
        _ledger_bars(context, codec, curve) for codec, curve in found.curves.items() if curve
    )
    keys = "".join(f'<li class="g-{key}">{term(key, text)}</li>' for key, text in GROUPS.items())
    over = f"mean of {', '.join(found.images)}" if found.images else ""
    part = (  # or its rates seem to contradict those of the tables
        f'<p class="small">Files of {esc(verdicts.listed(found.images))}, whose rates are not the '
        f"means over all {context.images} images.</p>"
        if 0 < len(found.images) < context.images
        else ""
    )
    return (
        f'<ul class="key">{keys}</ul>{part}<div class="ledgers">{blocks}</div>'
        + (f'<ul class="small">{missing}</ul>' if missing else "")
        + f"<details><summary>Every part in bytes</summary>{_ledger_table(context, over)}</details>"
    )


def _ledger_bars(context: Context, codec: str, curve: Sequence[Point]) -> str:
    bars = "".join(
        f'<div class="lbar"><span class="n">{point.bpp:.2f}</span><span class="stack">'
        + "".join(
            f'<b class="g-{name}" style="width:{100 * size / point.total_bytes:.3f}%" '
            f'title="{esc(GROUPS[name])}: {size:.0f} bytes, '
            f'{100 * size / point.total_bytes:.1f} %"></b>'
            for name, size in point.groups.items()
        )
        + f'</span><span class="n">{_not_payload(point)}</span></div>'
        for point in curve
    )
    return (
        f'<div class="ledger"><h4>{context.looks[codec].tag()}</h4>'
        f'<div class="lbar head"><span>bpp</span><span></span><span>overhead</span></div>{bars}'
        "</div>"
    )


def _not_payload(point: Point) -> str:
    if not point.itemised:
        return NO_VALUE
    return f"{100 * (1 - point.groups.get('payload', 0.0) / point.total_bytes):.1f} %"


def _ledger_table(context: Context, over: str) -> str:
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


def codecs(context: Context) -> str:
    """Return what each codec is, the range it was measured over and its ceiling."""
    ceilings: Mapping[str, float] = {
        str(line["codec"]): float(line["ceiling_psnr_db"]) for line in records(context.ceilings)
    }
    rows = []
    for codec, curve in context.means.groupby("codec", sort=True):
        look = context.looks[str(codec)]
        low, high = float(curve["bpp"].min()), float(curve["bpp"].max())
        value = ceilings.get(str(codec), math.nan)
        shown = "none: stays in RGB" if math.isinf(value) else Td.num(value, 2).html
        rows.append(
            [
                Td(look.tag(), look.name),
                Td.text(look.label),
                Td.text(look.title),
                Td.num(float(len(curve)), 0),
                Td(f"{low:.2f} to {high:.2f}", low, "n"),
                Td(shown, _sortable(value), "n"),
                Td.text(look.note),
            ]
        )
    return Table(
        name=f"codecs-{context.name}",
        caption=f"Codecs, {context.name}, with the best PSNR that their colour format allows",
        head=[
            *("Codec", "Chroma, depth, encoder", "What it is", term("rung", "Rungs"), "bpp"),
            f"{term('ceiling', 'No-codec ceiling')} (dB) ↑",
            "Caveat",
        ],
        rows=rows,
    ).markup()


def failures(context: Context) -> str:
    """Return what failed, and which images and points the means lack."""
    failed, lost = summary.failures(context.rows), summary.missing(context.rows)
    aside = summary.set_aside(context.rows)
    parts = []
    if len(failed):
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
        parts.append(
            Table(f"failures-{context.name}", f"Failures, {context.name}", heads, lines).markup()
        )
    else:
        cells = len(context.rows)
        parts.append(f"<p>{esc(context.name)}: none of {cells} encodings failed.</p>")
    if len(lost):
        lines = [
            [Td.text(line[k]) for k in ("image", "codec", "settings", "reason")]
            for line in records(lost)
        ]
        heads = ["Image", "Codec", "Settings lacking", "Why"]
        name, caption = f"left-out-{context.name}", f"Images left out of every mean, {context.name}"
        parts.append(Table(name, caption, heads, lines).markup())
    parts += [
        f"<p>Set aside: {context.looks[str(line['codec'])].tag()} at "
        f"{esc(short_setting(context, str(line['codec']), str(line['setting'])))}, tried on "
        f"{line['images']} of {line['most']} images.</p>"
        for line in records(aside)
    ]
    return "".join(parts)


def unavailable(found: Sequence[tuple[str, str]]) -> str:
    """Return the codecs that could not run, with the reasons."""
    if not found:
        return "<p>Every codec that was asked for could run.</p>"
    lines = [[Td.text(name), Td.text(reason)] for name, reason in found]
    caption = "Codecs that could not run on this machine"
    return Table("unavailable", caption, ["Codec", "Why"], lines).markup()
