"""A baseline on disk says what was measured, whatever its form."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.gate import baseline, check, measure, scores, tolerance
from bench.gate.images import Verdict
from bench.gate.rows import Row, by_key, rungs, short
from bench.measurement.run import run


@pytest.fixture(scope="module")
def run_folder(gate, tmp_path_factory) -> Path:
    """The output folder of a run of the harness on the same crops and rungs."""
    out = tmp_path_factory.mktemp("run")
    run(
        [gate.dataset],
        ["jpeg", "webp"],
        scores.DEFAULT_METRICS,
        points=6,
        out=out,
        jobs=1,
        make_executor=lambda *_: gate.inline,
    )
    with closing(sqlite3.connect(out / "bench.sqlite")) as db, db:
        db.execute("UPDATE runs SET record = json_set(record, '$.versions.pillow', '0.1')")
    return out


def test_csv_round_trip(locked, tmp_path: Path):
    """What is written is what is read: rows to the last digit, environment, ladders."""
    path = tmp_path / "below" / "base.csv"
    written = baseline.write(path, replace(locked, speed={"jpeg": {"x": 1}}))
    back = baseline.read(path)

    assert [path, path.with_suffix(".json")] == written
    assert dict(locked.rows) == dict(back.rows)
    assert locked.environment == back.environment
    assert locked.ladders == back.ladders
    assert {"jpeg": {"x": 1}} == back.speed


def test_lossless_cell_survives(tmp_path: Path):
    """An infinite PSNR and a score that is not defined come back as they were."""
    scored = {"psnr_db": math.inf, "ms_ssim": None}
    hashes = "a" * 64, "b" * 64, "c" * 64
    row = Row(
        *("d", "i", "null", "null", "{}", "raw 1", 8, 8, hashes[0], 200, scored, {}),
        *hashes[1:],
    )
    path = tmp_path / "base.csv"
    baseline.write(path, replace_rows(row))

    assert row == baseline.read(path).rows[row.key]


def replace_rows(*rows: Row):
    """Return a baseline of these rows alone."""
    from bench.gate.rows import Locked

    return Locked(by_key(rows), {})


@pytest.mark.parametrize("form", ["folder", "sqlite"])
def test_database_is_a_baseline(form: str, run_folder: Path, locked, gate):
    """The folder or the database of a run compares as the CSV does: every byte the same."""
    stored = baseline.read(run_folder if form == "folder" else run_folder / "bench.sqlite")
    report = check.compare(stored, locked, tolerance.load(run_folder))

    assert locked.rows.keys() == stored.rows.keys()
    assert {Verdict.IDENTICAL} == {result.verdict for result in report.curves}
    assert 0 == report.exit_code
    assert ["pillow 0.1 -> " + locked.environment["versions"]["pillow"]] == [
        str(d) for d in report.differences if d.name == "pillow"
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.csv", None, "no baseline at"),
        ("other.csv", "a,b\n1,2\n", "lacks the columns"),
        ("text.sqlite", "hello, this is text and no database at all", "not a database"),
    ],
)
def test_unusable_baseline_is_refused(name: str, content, words: str, tmp_path: Path):
    """What is no baseline is refused in words that say what was found."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=words):
        baseline.read(path)


def test_number_that_is_none_is_refused(locked, tmp_path: Path):
    """A damaged line is refused, not skipped."""
    path = tmp_path / "base.csv"
    baseline.write(path, locked)
    lines = list(csv.reader(path.read_text().splitlines()))
    lines[3][lines[0].index("size_bytes")] = "many"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.raises(UsageError, match="line 4: invalid literal"):
        baseline.read(path)


def test_record_of_another_format_is_refused(locked, tmp_path: Path):
    """The JSON beside the rows carries a version, which must be known."""
    path = tmp_path / "base.csv"
    baseline.write(path, locked)
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(UsageError, match="another version of bench"):
        baseline.read(path)


def test_only_csv_is_written(locked, tmp_path: Path):
    """A baseline is locked as text that a reviewer can read."""
    with pytest.raises(UsageError, match=r"locked as \.csv"):
        baseline.write(tmp_path / "base.sqlite", locked)


def test_restrict_keeps_what_was_asked_for(locked):
    """--codec and --points choose a part of the baseline; an unknown name is suggested."""
    part = measure.restrict(locked, [], ["jpeg"], 2)
    first, last = rungs(r for r in locked.rows.values() if r.codec == "jpeg")[::5]

    assert {"jpeg"} == {row.codec for row in part.rows.values()}
    assert {first, last} == {row.setting for row in part.rows.values()}
    with pytest.raises(UsageError, match="Did you mean webp"):
        measure.restrict(locked, [], ["wepb"], None)
    with pytest.raises(UsageError, match="has no dataset"):
        measure.restrict(locked, ["kodak"], [], None)


def test_settings_are_told_in_few_words():
    """Of a setting only what moves along its curve is shown."""
    a, b = '{"method":4,"quality":5}', '{"method":4,"quality":15}'

    assert "quality=5" == short(a, [a, b])
    assert "method=4, quality=5" == short(a, [a])
