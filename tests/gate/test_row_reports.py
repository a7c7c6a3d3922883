"""What the gate says of hostile texts, faults of its own, failed cells and new metrics."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from gate_rows import (
    ERROR,
    Rows,
    app,
    at,
    failed,
    gate,
    recoded,
    rows,
    scored,
    write,
)
from typer.testing import CliRunner

from bench import metrics
from bench.gate import baseline
from bench.metrics import columns

NASTY = (
    "<script>alert(1)</script>",
    "a|b|c",
    "`code` *bold* [link](http://x)",
    "bell\x07 escape\x1b[31mred",
    "lone \udcff and \ud800",
    "right\u202eleft",
    "nul\x00",
    "two\nlines\r\nmore",
    "]]>&amp;<![CDATA[",
    "\ufffe",
)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("field", ["image", "dataset", "version", "error"])
def test_no_text_is_markup(field: str, text: str, tmp_path: Path):
    """Names, versions and errors of any characters break neither terminal, page, XML nor JSON."""

    def spoilt(found: Rows) -> Rows:
        return [replace(r, **{field: text}) for r in found if r.image == "one.png"]

    before = spoilt(rows()) if field != "error" else rows()
    after = (
        spoilt([recoded(r, 2) for r in rows()])
        if field != "error"
        else [failed(r, text) for r in rows()]
    )
    write(tmp_path / "base.csv", before)
    exit_code, output, data = gate(tmp_path, "--against", write(tmp_path / "now.csv", after))
    page, xml = ((tmp_path / f"gate.{form}").read_text() for form in ("markdown", "junit"))

    assert 1 == exit_code
    assert data["curves"]
    for form in (output, page, xml):
        assert not {c for c in form if c != "\n" and (ord(c) < 32 or 0xD800 <= ord(c) < 0xE000)}
        assert "\u202e" not in form
    assert "<script" not in page
    tables = [block for block in page.split("\n\n") if block.startswith("|")]
    for block in tables:
        bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
        assert 1 == len([bar for bar in bars if bar])


def test_crash_of_the_gate_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An unexpected exception is exit code 2 in one line and in every file, without advice."""
    write(tmp_path / "base.csv", rows())
    gate(tmp_path, "--against", tmp_path / "base.csv")  # leaves files that say OK

    def crash(*_: object) -> None:
        raise KeyError("a bug\nof the gate")

    monkeypatch.setattr(baseline, "read", crash)
    exit_code, output, data = gate(tmp_path, "--against", tmp_path / "base.csv")

    assert 2 == exit_code
    assert 1 == len(output.strip().splitlines())
    assert "unexpected KeyError" in output
    assert "--update" not in output
    assert "COULD NOT RUN" in data["outcome"]
    monkeypatch.setenv("BENCH_DEBUG", "1")
    words = ["check", "-b", str(tmp_path / "base.csv")]
    assert "Traceback" in CliRunner().invoke(app, words).output


@pytest.mark.parametrize("fault", [SystemExit(0), SystemExit("bye"), GeneratorExit()])
def test_no_exit_of_a_codec_ends_the_gate_well(fault, tmp_path, monkeypatch):
    """A SystemExit from anywhere inside is exit code 2, whatever its own code is."""
    write(tmp_path / "base.csv", rows())

    def leave(*_: object) -> None:
        raise fault

    monkeypatch.setattr(baseline, "read", leave)

    assert 2 == gate(tmp_path, "--against", tmp_path / "base.csv")[0]


def update(tmp_path: Path, *options: object) -> tuple[int, str]:
    """Lock the rows of now.csv over base.csv."""
    words = ["check", "--update", "-b", tmp_path / "base.csv", "--against", tmp_path / "now.csv"]
    done = CliRunner().invoke(app, [str(word) for word in (*words, *options)])
    return done.exit_code, done.output


def test_failed_cells_are_locked_only_on_request(tmp_path: Path):
    """--update refuses cells that fail (exit code 2) unless --accept-failures is given."""
    before = write(tmp_path / "base.csv", rows()).read_bytes()
    write(tmp_path / "now.csv", at(lambda r: failed(r, ERROR))(rows()))
    refused = update(tmp_path)

    assert 2 == refused[0]
    assert "1 of 20 cells fail; the first, jpeg" in refused[1]
    assert before == (tmp_path / "base.csv").read_bytes()
    accepted = update(tmp_path, "--accept-failures")

    assert 0 == accepted[0]
    assert "1 of them FAILED" in accepted[1]
    assert "failed as before" in gate(tmp_path, "--against", tmp_path / "now.csv")[1]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("missing score", at(lambda r: scored(r, ms_ssim=None)), "is missing"),
        ("NaN", at(lambda r: scored(r, psnr_db=math.nan)), "is not a number"),
        ("no file at all", lambda found: [failed(r, ERROR) for r in found], "no cell has a file"),
    ],
)
def test_what_cannot_be_compared_is_not_locked(name, change, words, tmp_path: Path):
    """Rows that no later run could be held against are not locked, whatever is accepted."""
    before = write(tmp_path / "base.csv", rows()).read_bytes()
    write(tmp_path / "now.csv", change(rows()))
    exit_code, output = update(tmp_path, "--accept-failures")

    assert 2 == exit_code
    assert words in output
    assert before == (tmp_path / "base.csv").read_bytes()


def test_options_of_locking_are_refused_elsewhere(tmp_path: Path):
    """--accept-failures and --metric do nothing in a comparison, so they are refused there."""
    now = write(tmp_path / "base.csv", rows())

    for words in (("--accept-failures",), ("--metric", "psnr")):
        exit_code, output, _ = gate(tmp_path, "--against", now, *words)
        assert 2 == exit_code
        assert "belongs to --update" in output


class Blur(metrics.Metric):
    """A metric that somebody dropped in: lower is better."""

    name = column = "blur"
    title = "Blur"
    higher_is_better = False
    digits = 3
    limits = (0.0, math.inf)

    def score(self, state, decoded):
        """Return the difference of the means."""
        return float(abs(state.mean() - decoded.mean()))


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (0.5, ("identical", 0)),
        (0.5005, ("equal", 0)),
        (0.52, ("worse", 1)),
        (0.48, ("better", 0)),
        (None, ("not_comparable", 2)),
        (-0.1, ("not_comparable", 2)),
    ],
)
def test_new_metric_is_judged_by_its_own_direction(now, outcome, tmp_path: Path, monkeypatch):
    """A metric of one file takes part: its digits are its tolerance, its direction is its own."""
    found = {**metrics.discover(), "blur": metrics.Found("blur", "here", Blur)}
    monkeypatch.setattr(columns, "discover", lambda: found)
    before = [scored(r, blur=0.5) for r in rows()]
    same_file = now in {0.5, None, -0.1}
    after = at(lambda r: scored(r if same_file else recoded(r), blur=now))(before)
    write(tmp_path / "base.csv", before)
    exit_code, output, data = gate(tmp_path, "--against", write(tmp_path / "now.csv", after))

    assert outcome == (data["curves"][0]["verdict"], exit_code)
    assert outcome[0] in {"identical", "not_comparable"} or "Blur 0.500 -> " in output
