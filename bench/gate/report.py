"""A report of the gate as Markdown for a pull request, as lines for a terminal, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bench.gate import rd
from bench.gate.cells import Cell, Change
from bench.gate.check import COULD_NOT_RUN, OK, REGRESSED, Report
from bench.gate.curves import PASSING, CurveResult, Verdict
from bench.gate.environment import Difference
from bench.gate.rows import SCORES
from bench.gate.speed import SpeedResult
from bench.output.table_formats import escape_markdown, number

_SHOWN_CELLS = 12
_SHOWN_PASSING = 3
_SHOWN_IMAGES = 8
_UNITS = {"psnr_db": " dB", "ms_ssim": " dB"}


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
    same = sum(r.verdict == Verdict.IDENTICAL for r in report.curves)
    more = "" if same == total else f", {total - same} other bytes and no worse"
    return f"OK: {same} of {total} curves have identical bytes{more}"


def relock(report: Report) -> str:
    """Return the command that locks today's rows, which shows the difference first."""
    return f"bench check --update --baseline {report.baseline.source}"


def describe(result: CurveResult, cell: Cell) -> str:
    """Return one cell in one line: image, setting, bytes and scores before and now, why."""
    old, new = cell.before, cell.after
    words = [f"{old.image} {result.rung(cell)}: {cell.change}"]
    if new is not None and new.size_bytes and old.size_bytes:
        words.append(f"{old.size_bytes} -> {new.size_bytes} bytes ({cell.size_percent:+.2f} %)")
        words += [text for score in SCORES if (text := _score(cell, score))]
    if cell.why:
        words.append(cell.why)
    return "; ".join(words)


def _score(cell: Cell, score: str) -> str:
    assert cell.after is not None
    old, new = getattr(cell.before, score), getattr(cell.after, score)
    if old is None or new is None:
        return ""
    digits = 2 if score == "psnr_db" else 5
    gain = cell.gain_db(score)
    change = f" ({gain:+.3f} dB)" if gain else ""
    return f"{rd.name(score)} {old:.{digits}f} -> {new:.{digits}f}{change}"


def lines(report: Report) -> list[str]:
    """Return the report for a terminal."""
    told: list[str] = []
    for r in report.curves:
        told.append(f"{r.curve} on {r.dataset}: {_verdict_words(report, r)} ({_counts(r.cells)})")
        told += [f"    {note}" for note in r.notes]
        if r.verdict != Verdict.IDENTICAL:
            told += [f"    {_image(r, name)}" for name in r.guilty[:_SHOWN_IMAGES]]
            shown = _shown(r)
            told += [f"    {describe(r, cell)}" for cell in r.changed[:shown]]
            told += _more(len(r.changed) - shown, "    ")
            told += [f"    environment: {cause}" for cause in r.causes]
    told += [f"speed: {_speed_words(s)}" for s in report.speed]
    told += [f"environment: {d}" for d in report.differences]
    if any(r.verdict != Verdict.IDENTICAL for r in report.curves):
        told.append(f"if the change is meant: {relock(report)}")
    return [*told, headline(report)]


def _verdict_words(report: Report, result: CurveResult) -> str:
    if result.verdict == Verdict.ENVIRONMENT:
        allowed = ", allowed" if report.allow_environment else ""
        return f"environment{allowed}: the library is another, and RD {result.underlying}"
    if result.verdict in (Verdict.EQUAL, Verdict.BETTER) and result.causes:
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
        f"BD-rate ({rd.name(score)}) {value:+.2f} %"
        for score, value in image.bd_rate_percent.items()
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
    icon = {OK: "\u2705", REGRESSED: "\u274c", COULD_NOT_RUN: "\u26a0\ufe0f"}[report.exit_code]
    then = report.baseline.environment
    locked = ", ".join(str(then[k]) for k in ("date", "commit") if then.get(k)) or "unknown"
    parts = [
        f"## {icon} bench check: {escape_markdown(headline(report))}",
        f"Baseline `{report.baseline.source}`, locked {locked}.",
        _table(
            ("codec", "dataset", "verdict", "files", "size", "PSNR", "BD-rate", "worst image"),
            [_summary(report, result) for result in report.curves],
        ),
    ]
    parts += [_details(r) for r in report.curves if r.verdict != Verdict.IDENTICAL or r.notes]
    if report.speed:
        parts += ["### Speed (ratio to the calibration job)", _speed_table(report.speed)]
    if report.differences:
        parts += ["### Environment", _environment_table(report.differences)]
    if any(r.verdict != Verdict.IDENTICAL for r in report.curves):
        parts.append(f"If the change is meant, lock it: `{relock(report)}`")
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *([escape_markdown(cell) for cell in r] for r in body)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _summary(report: Report, result: CurveResult) -> list[str]:
    sizes = [c.size_percent for c in result.cells if not math.isnan(c.size_percent)]
    gains = [g for c in result.cells if math.isfinite(g := c.gain_db("psnr_db"))]
    rates = {i.image: i.bd_rate_percent.get("psnr_db", math.nan) for i in result.images}
    rates = {name: value for name, value in rates.items() if not math.isnan(value)}
    worst = max(rates, key=lambda name: rates[name], default="")
    changed = len(result.changed)
    return [
        result.curve,
        result.dataset,
        _verdict_words(report, result),
        f"{changed} of {len(result.cells)} changed" if changed else f"{len(result.cells)} the same",
        f"{number(sum(sizes) / len(sizes), 2, sign=True)} %" if sizes else "",
        f"{number(sum(gains) / len(gains), 3, sign=True)} dB" if gains else "",
        _percent(result.bd_rate_percent.get("psnr_db", math.nan)),
        f"{worst} {_percent(rates[worst])}" if worst and changed else "",
    ]


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{number(value, 2, sign=True)} %"


def _details(result: CurveResult) -> str:
    told = [f"### {result.curve} on {result.dataset}: {result.verdict}"]
    bullets = [*result.notes, *(_image(result, name) for name in result.guilty[:_SHOWN_IMAGES])]
    bullets += [f"environment: {cause}" for cause in result.causes]
    if bullets:
        told.append("\n".join(f"- {escape_markdown(text)}" for text in bullets))
    changed = result.changed
    if changed:
        shown = _shown(result)
        body = [_cell_columns(result, cell) for cell in changed[:shown]]
        head = ("image", "setting", "change", "bytes", "PSNR (dB)", "MS-SSIM", "why")
        told += [_table(head, body), *_more(len(changed) - shown)]
    return "\n\n".join(told)


def _cell_columns(result: CurveResult, cell: Cell) -> list[str]:
    old, new = cell.before, cell.after
    start = [old.image, result.rung(cell), str(cell.change)]
    if new is None or not new.size_bytes or not old.size_bytes:
        return [*start, "", "", "", cell.why]
    size = f"{old.size_bytes} \u2192 {new.size_bytes} ({_percent(cell.size_percent)})"
    scores = [
        _pair(getattr(old, s), getattr(new, s), d) for s, d in zip(SCORES, (2, 5), strict=True)
    ]
    return [*start, size, *scores, cell.why]


def _pair(old: float | None, new: float | None, digits: int) -> str:
    if old is None or new is None:
        return ""
    return f"{number(old, digits)} \u2192 {number(new, digits)}"


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


def _environment_table(found: Iterable[Difference]) -> str:
    body = [[d.name, d.before, d.after, d.kind] for d in found]
    return _table(("what", "baseline", "now", "kind"), body)


def to_json(report: Report) -> str:
    """Return everything as JSON; numbers that are not finite are null."""
    content = {
        "exit_code": report.exit_code,
        "outcome": headline(report),
        "baseline": report.baseline.source,
        "relock": relock(report),
        "allow_environment": report.allow_environment,
        "metrics_changed": dict(report.drifted),
        "curves": [_curve_json(report, result) for result in report.curves],
        "differences": [asdict(d) for d in report.differences],
        "speed": [{**asdict(s), "factor": s.factor, "slower": s.slower} for s in report.speed],
        "environment": {
            "baseline": dict(report.baseline.environment),
            "now": dict(report.now.environment),
        },
    }
    return json.dumps(_finite(content), indent=1) + "\n"


def _curve_json(report: Report, result: CurveResult) -> dict[str, Any]:
    return {
        "dataset": result.dataset,
        "codec": result.curve,
        "verdict": result.verdict.name.lower(),
        "underlying": result.underlying.name.lower(),
        "fails": report.fails(result),
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


def _row_json(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a Row, as plain data
    wanted = ("size_bytes", "psnr_db", "ms_ssim", "bitstream_sha256", "decoded_sha256", "error")
    return {name: getattr(row, name) for name in (*wanted, "version")}


def _finite(value: Any) -> Any:  # noqa: ANN401 - any plain data
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
