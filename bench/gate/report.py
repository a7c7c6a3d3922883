"""A report of the gate: lines for a terminal, Markdown for a pull request, JUnit XML, JSON.

All four say the same verdict, exit code and number of cells. Names, labels and errors come from
files that anybody may have written; nothing of them reaches a reader as markup.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bench.gate import scores
from bench.gate.cells import Cell, Change
from bench.gate.check import COULD_NOT_RUN, OK, REGRESSED, Report
from bench.gate.curves import CurveResult
from bench.gate.images import PASSING, SAME_BYTES, Verdict
from bench.gate.rows import Row
from bench.gate.speed import SpeedResult
from bench.output.table_formats import escape_markdown, number, plain_text

_SHOWN_CELLS = 12
_SHOWN_PASSING = 3
_SHOWN_IMAGES = 8

_ICONS = {OK: "\u2705", REGRESSED: "\u274c", COULD_NOT_RUN: "\u26a0\ufe0f"}


def headline(report: Report) -> str:
    """Return the whole outcome in one line."""
    total = len(report.curves)
    if report.exit_code == REGRESSED and report.regressed:
        names = ", ".join(dict.fromkeys(r.curve for r in report.regressed))
        return f"REGRESSED: {len(report.regressed)} of {total} curves ({names})"
    if report.exit_code == REGRESSED:
        return f"REGRESSED in speed: {', '.join(f'{s.codec} {s.direction}' for s in report.slower)}"
    if report.exit_code == COULD_NOT_RUN:
        names = ", ".join(r.curve for r in report.incomparable)
        return f"COULD NOT COMPARE {len(report.incomparable)} of {total} curves ({names})"
    same, other = (
        sum(r.verdict in verdicts for r in report.curves)
        for verdicts in (SAME_BYTES, {Verdict.EQUAL, Verdict.BETTER})
    )
    allowed = sum(r.verdict == Verdict.ENVIRONMENT for r in report.curves)
    failing = report.counts.get(Change.STILL_FAILS, 0)
    more = [
        f", {count} {words}"
        for count, words in (
            (other, "other bytes and no worse"),
            (allowed, "changed by another environment, which is allowed"),
            (failing, f"cell{'s' * (failing > 1)} failed as before"),
        )
        if count
    ]
    return f"OK: {same} of {total} curves have identical bytes{''.join(more)}"


def relock(report: Report) -> str:
    """Return the command that locks today's rows, which shows the difference first."""
    return f"bench check --update --baseline {report.baseline.source}"


def cell_counts(report: Report) -> str:
    """Return how many cells there are, and what became of them."""
    counts = report.counts
    return f"{sum(counts.values())} cells: " + ", ".join(
        f"{n} {word}" for word, n in counts.items()
    )


def describe(result: CurveResult, cell: Cell) -> str:
    """Return one cell in one line: image, setting, bytes and scores before and now, why."""
    old, new = cell.before, cell.after
    words = [f"{old.image} {result.rung(cell)}: {cell.change}"]
    if new is not None and new.size_bytes and old.size_bytes:
        words.append(f"{old.size_bytes} -> {new.size_bytes} bytes ({cell.size_percent:+.2f} %)")
        words += [text for column in old.scores if (text := _score(cell, column))]
    if cell.why:
        words.append(cell.why)
    return "; ".join(words)


def _score(cell: Cell, column: str) -> str:
    assert cell.after is not None
    old, new = cell.before.scores.get(column), cell.after.scores.get(column)
    if old is None or new is None:
        return ""
    score, gain = scores.of(column), cell.gain(column)
    change = f" ({gain:+.3f}{score.unit})" if gain and not math.isnan(gain) else ""
    return f"{score.title} {old:.{score.digits}f} -> {new:.{score.digits}f}{change}"


def lines(report: Report, *, advice: bool = True) -> list[str]:
    """Return the report for a terminal, with the command that locks today's rows where it fits."""
    told: list[str] = []
    for r in report.curves:
        told.append(f"{r.curve} on {r.dataset}: {_verdict_words(report, r)} ({_counts(r.cells)})")
        told += [f"    {note}" for note in r.notes]
        if r.verdict != Verdict.IDENTICAL:
            told += [f"    {_image(r, name)}" for name in r.failing_images[:_SHOWN_IMAGES]]
            shown = _shown(r)
            told += [f"    {describe(r, cell)}" for cell in r.changed[:shown]]
            told += _more(len(r.changed) - shown, "    ")
            told += [f"    environment: {cause}" for cause in r.causes]
    told += [f"speed: {_speed_words(s)}" for s in report.speed]
    told += [f"environment: {d}" for d in report.differences]
    told += [f"warning: {words}" for words in report.warnings]
    if advice and report.lockable:
        told.append(f"if the change is meant: {relock(report)}")
    told += [cell_counts(report), headline(report)]
    return [" " * 4 * line.startswith("    ") + plain_text(line) for line in told]


def _verdict_words(report: Report, result: CurveResult) -> str:
    if result.verdict == Verdict.ENVIRONMENT:
        allowed = ", allowed" if not report.fails(result) else ""
        return f"environment{allowed}: the library is another, and RD {result.underlying}"
    if result.verdict in (Verdict.PIXELS, Verdict.EQUAL, Verdict.BETTER) and result.causes:
        return f"{result.verdict} (warning: the environment is another)"
    return str(result.verdict)


def _counts(cells: Sequence[Cell]) -> str:
    if all(cell.change == Change.IDENTICAL for cell in cells):
        return f"{len(cells)} files"
    found: dict[Change, int] = {}
    for cell in cells:
        found[cell.change] = found.get(cell.change, 0) + 1
    return ", ".join(f"{count} {change}" for change, count in found.items())


def _image(result: CurveResult, name: str) -> str:
    image = next(i for i in result.images if i.image == name)
    rates = [
        f"BD-rate ({scores.of(column).title}) {value:+.2f} %"
        for column, value in image.bd_rate_percent.items()
        if not math.isnan(value)
    ]
    words = [image.why, *(r for r in rates if r not in image.why)]
    return f"image {name}: {image.verdict}: {'; '.join(filter(None, words))}"


def _speed_words(result: SpeedResult) -> str:
    what = f"{result.codec} {result.direction} {result.after:.2f} calibration jobs"
    if result.before is None or result.factor is None:
        return f"{what}, none locked to compare with"
    verdict = "SLOWER than allowed" if result.slower else "fine"
    return (
        f"{what}, {result.before:.2f} locked: x{result.factor:.2f} "
        f"(allowed x{result.allowed:g}, noise {result.spread:.0%}): {verdict}"
    )


def _shown(result: CurveResult) -> int:
    """Return how many cells to show: what passes needs fewer words."""
    return _SHOWN_PASSING if result.verdict in PASSING else _SHOWN_CELLS


def _more(count: int, indent: str = "") -> list[str]:
    return [f"{indent}... and {count} more"] if count > 0 else []


def markdown(report: Report) -> str:
    """Return the report as Markdown: a headline, one table, details of what changed."""
    then = report.baseline.environment
    locked = ", ".join(str(then[k]) for k in ("date", "commit") if then.get(k)) or "unknown"
    parts = [
        f"## {_ICONS[report.exit_code]} bench check: {escape_markdown(headline(report))}",
        escape_markdown(
            f"Baseline {report.baseline.source}, locked {locked}. {cell_counts(report)}."
        ),
        *(f"**Warning:** {escape_markdown(words)}" for words in report.warnings),
        _table(
            ("codec", "dataset", "verdict", "files", "size", "PSNR", "BD-rate", "worst image"),
            [_summary(report, result) for result in report.curves],
        ),
    ]
    parts += [
        _details(report, r) for r in report.curves if r.verdict != Verdict.IDENTICAL or r.notes
    ]
    if report.speed:
        parts += ["### Speed (ratio to the calibration job)", _speed_table(report.speed)]
    if report.differences:
        body = [[d.name, d.before, d.after, d.kind] for d in report.differences]
        parts += ["### Environment", _table(("what", "baseline", "now", "kind"), body)]
    if report.lockable:
        parts.append(f"If the change is meant, lock it: {escape_markdown(relock(report))}")
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *([escape_markdown(cell) for cell in r] for r in body)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _summary(report: Report, result: CurveResult) -> list[str]:
    sizes = [c.size_percent for c in result.cells if not math.isnan(c.size_percent)]
    gains = [g for c in result.cells if math.isfinite(g := c.gain("psnr_db"))]
    rates = {i.image: i.bd_rate_percent.get("psnr_db", math.nan) for i in result.images}
    rates = {name: value for name, value in rates.items() if not math.isnan(value)}
    worst = max(rates, key=lambda name: rates[name], default="")
    changed, total = len(result.changed), len(result.cells)
    return [
        result.curve,
        result.dataset,
        _verdict_words(report, result),
        f"{changed} of {total} changed" if changed else f"{total} the same",
        _percent(sum(sizes) / len(sizes)) if sizes else "",
        f"{number(sum(gains) / len(gains), 3, sign=True)} dB" if gains else "",
        _percent(result.bd_rate_percent.get("psnr_db", math.nan)),
        f"{worst} {_percent(rates[worst])}" if worst and changed else "",
    ]


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{number(value, 2, sign=True)} %"


def _details(report: Report, result: CurveResult) -> str:
    title = f"{result.curve} on {result.dataset}: {_verdict_words(report, result)}"
    bullets = [
        *result.notes,
        *(_image(result, name) for name in result.failing_images[:_SHOWN_IMAGES]),
        *(f"environment: {cause}" for cause in result.causes),
    ]
    told = [f"### {escape_markdown(title)}"]
    if bullets:
        told.append("\n".join(f"- {escape_markdown(text)}" for text in bullets))
    changed = result.changed
    if changed:
        shown, columns = _shown(result), list(changed[0].before.scores)
        titles = [f"{scores.of(c).title}{' (dB)' * scores.of(c).in_db}" for c in columns]
        body = [_cell_columns(result, cell, columns) for cell in changed[:shown]]
        head = ("image", "setting", "change", "bytes", *titles, "why")
        told += [_table(head, body), *_more(len(changed) - shown)]
    return "\n\n".join(told)


def _cell_columns(result: CurveResult, cell: Cell, columns: Sequence[str]) -> list[str]:
    old, new = cell.before, cell.after
    start = [old.image, result.rung(cell), str(cell.change)]
    if new is None or not new.size_bytes or not old.size_bytes:
        return [*start, "", *("" for _ in columns), cell.why]
    size = f"{old.size_bytes} \u2192 {new.size_bytes} ({_percent(cell.size_percent)})"
    return [*start, size, *(_pair(old, new, column) for column in columns), cell.why]


def _pair(old: Row, new: Row, column: str) -> str:
    a, b, digits = old.scores.get(column), new.scores.get(column), scores.of(column).digits
    if a is None or b is None:
        return ""
    return f"{number(a, digits)} \u2192 {number(b, digits)}"


def _speed_table(results: Iterable[SpeedResult]) -> str:
    body = []
    for s in results:
        factor = "" if s.factor is None else f"\u00d7{s.factor:.2f} (allowed \u00d7{s.allowed:g})"
        locked = "not locked" if s.before is None else f"{s.before:.3f}"
        outcome = "slower" if s.slower else "fine"
        body.append(
            [s.codec, s.direction, locked, f"{s.after:.3f}", f"{s.spread:.0%}", factor, outcome]
        )
    head = ("codec", "direction", "locked", "now", "noise (IQR)", "change", "outcome")
    return _table(head, body)


def to_json(report: Report) -> str:
    """Return everything as JSON; numbers that are not finite are null."""
    content = {
        "exit_code": report.exit_code,
        "outcome": headline(report),
        "baseline": report.baseline.source,
        "relock": relock(report) if report.lockable else "",
        "allow_environment": report.allow_environment,
        "warnings": list(report.warnings),
        "cells": {"total": sum(report.counts.values()), **report.counts},
        "metrics_changed": dict(report.drifted),
        "curves": [_curve_json(report, result) for result in report.curves],
        "differences": [asdict(d) for d in report.differences],
        "speed": [{**asdict(s), "factor": s.factor, "slower": s.slower} for s in report.speed],
        "environment": {
            "baseline": dict(report.baseline.environment),
            "now": dict(report.now.environment),
        },
    }
    return _dumped(content)


def _dumped(content: object) -> str:
    return json.dumps(_safe(content), indent=1, allow_nan=False) + "\n"


def failure_markdown(message: str) -> str:
    """Return the Markdown of a gate that came to no comparison."""
    return f"## {_ICONS[COULD_NOT_RUN]} bench check: COULD NOT RUN: {escape_markdown(message)}\n"


def failure_json(message: str) -> str:
    """Return the JSON of a gate that came to no comparison."""
    outcome = f"COULD NOT RUN: {message}"
    return _dumped({"exit_code": COULD_NOT_RUN, "outcome": outcome, "curves": []})


def _curve_json(report: Report, result: CurveResult) -> dict[str, Any]:
    return {
        "dataset": result.dataset,
        "codec": result.curve,
        "verdict": result.verdict.name.lower(),
        "underlying": result.underlying.name.lower(),
        "fails": report.fails(result),
        "comparable": not report.unknown(result),
        "notes": list(result.notes),
        "causes": [asdict(d) for d in result.causes],
        "bd_rate_percent": dict(result.bd_rate_percent),
        "images": [{**asdict(i), "verdict": i.verdict.name.lower()} for i in result.images],
        "cells": [
            {
                "image": c.before.image,
                "setting": json.loads(c.before.setting),
                "change": c.change.name.lower(),
                "why": c.why,
                "before": _row_json(c.before),
                "after": None if c.after is None else _row_json(c.after),
            }
            for c in result.cells
        ],
    }


def _row_json(row: Row) -> dict[str, Any]:
    wanted = ("size_bytes", "bitstream_sha256", "decoded_sha256", "error", "version")
    return {**row.scores, **{name: getattr(row, name) for name in wanted}}


def _safe(value: Any) -> Any:  # noqa: ANN401 - any plain data
    """Return plain data that every reader of JSON takes: finite numbers, no lone surrogates."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_safe(str(k)): _safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(v) for v in value]
    return value
