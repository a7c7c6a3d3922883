"""``bench all``: what it says while it measures, at its end, and to programs."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import screen as screens
from bench.cli import working
from bench.cli.forecast import Forecast, clock
from bench.measurement.encoding import Encoding
from bench.measurement.plan import Plan
from bench.measurement.results import Results
from bench.measurement.worker import Task

WORDS = ["-c", "jpeg", "-c", "webp", "-m", "psnr", "--points", "4", "-j", "1"]


def row(codec: str, encode_s: float | None = None, pixels: int = 100) -> Encoding:
    """Return a row of one cell."""
    return Encoding(codec, "", pixels, 1, codec, "1", codec, "{}", encode_s=encode_s, decode_s=0.0)


def task(codec: str, pixels: int = 100) -> Task:
    """Return a cell to measure."""
    return Task(None, codec, "cpu", None, (), False, row(codec, pixels=pixels))  # type: ignore[arg-type]


def test_the_end_of_a_run_is_a_table_and_the_next_command(bench, inline, pictures, tmp_path: Path):
    """Standard output has the table alone; the way to the page stands last on standard error."""
    done = bench("all", "-d", pictures, *WORDS, "-o", tmp_path / "my out")
    lines = done.stdout.splitlines()

    assert 0 == done.code
    assert lines[0].startswith(f"{pictures}, 2 images: the point of each codec nearest to ")
    assert "bpp PSNR BD-rate (PSNR)" == " ".join(lines[1].split())
    assert {"jpeg", "webp"} == {line.split()[0] for line in lines[2:4]}
    assert done.stderr.strip().endswith(f"next: bench report --out '{tmp_path / 'my out'}'")


def test_quiet_says_nothing(bench, inline, pictures, tmp_path: Path):
    """A run without a failure prints nothing; its files are there."""
    done = bench("all", "-d", pictures, *WORDS, "-o", tmp_path / "out", "--quiet")

    assert (0, "", "") == (done.code, done.stdout, done.stderr)
    assert (tmp_path / "out" / "summary.csv").is_file()


def test_json_is_one_document(bench, inline, pictures, tmp_path: Path):
    """Everything else stands on standard error; infinity and NaN are no JSON."""
    out = tmp_path / "out"
    done = bench("all", "-d", pictures, *WORDS, "-c", "null", "-o", out, "--json")
    found = json.loads(done.stdout, parse_constant=pytest.fail)

    assert {"planned": 18, "measured": 18, "stored": 0, "failed": 0} == found["cells"]
    assert {pictures: 2} == found["datasets"]
    assert str(out) == found["out"]
    assert {"jpeg", "webp", "null"} == {line["codec"] for line in found["means"]}
    assert ["inf"] == [line["psnr_db"] for line in found["means"] if line["codec"] == "null"]
    assert {"webp", "null"} == {line["codec"] for line in found["bd_rates"]}
    assert all(Path(path).is_file() for path in found["files"])
    again = json.loads(bench("all", "-d", pictures, *WORDS, "-o", out, "--json").stdout)
    assert {"planned": 16, "measured": 0, "stored": 16, "failed": 0} == again["cells"]


def test_an_unknown_anchor_is_told_before_anything_is_made(bench, inline, pictures, tmp_path: Path):
    """No folder, no row."""
    line = bench("all", "-d", pictures, *WORDS, "-o", tmp_path / "out", "--anchor", "wepb").line

    assert "Did you mean webp?" in line
    assert not (tmp_path / "out").exists()


def test_the_time_left_weighs_codecs_by_what_they_cost():
    """One cell of two is done, the cheap one: the other one's cost is not guessed from it."""
    forecast = Forecast([task("fast"), task("slow"), task("fast"), task("slow")], jobs=1)
    assert forecast.left_s(0.0) is None
    forecast.add(row("fast", 1.0), 1.0)
    assert forecast.left_s(1.0) is None
    forecast.add(row("slow", 100.0), 101.0)
    assert pytest.approx(101.0) == forecast.left_s(101.0)
    forecast.add(row("fast", 1.0), 102.0)
    assert pytest.approx(100.0) == forecast.left_s(102.0)
    forecast.add(row("slow", 100.0), 202.0)
    assert 0.0 == forecast.left_s(202.0)


def test_the_time_left_counts_scores_pixels_and_processes():
    """Scores take as long for every codec; a picture of twice the pixels takes twice as long."""
    forecast = Forecast([task("a"), task("a", 200)], jobs=1)
    forecast.add(row("a", 1.0), 5.0)  # begun at 4 s
    assert pytest.approx(6.0) == forecast.left_s(7.0)  # 1 s of coding and 2 s beside, twice
    forecast = Forecast([task("a") for _ in range(8)], jobs=2)
    for now in (10.0, 10.0, 20.0, 20.0):
        forecast.add(row("a", 10.0), now)
    assert pytest.approx(20.0) == forecast.left_s(20.0)


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (59.6, "1:00"), (3675, "1:01:15")])
def test_clock(seconds: float, words: str):
    """Minutes and seconds, hours where there are some."""
    assert words == clock(seconds)


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    """Where there is no terminal, a line at intervals says what is done and for how long."""
    monkeypatch.setattr(working, "EVERY_S", 0.01)
    said, seen = list[str](), working.threading.Event()

    def show(text: str, **_: object) -> None:
        said.append(text)
        seen.set()

    with working.Working("encoding", Console(stderr=True)) as work:
        monkeypatch.setattr(work.screen, "print", show, raising=False)
        assert seen.wait(10)

    assert "encoding: 0:00 elapsed" == said[0]


def test_the_line_of_a_run(monkeypatch):
    """Starting workers, then cells, time, and what is left once that is known."""
    screen = screens.Screen(jobs=1, quiet=True)
    plan = Plan([], [], [], tasks=[task("a"), task("a")])
    now = [0.0]
    monkeypatch.setattr(screens.time, "monotonic", lambda: now[0])
    with screen:
        screen.planned(plan)
        now[0] = 70.0
        assert "starting workers, 1:10 elapsed" == screen._line()
        screen.measured(row("a", 10.0))
        assert "1 of 2 cells, 1:10 elapsed, about 0:10 left" == screen._line()


def test_outputs_are_written_after_what_they_need_is_imported(tmp_path: Path):
    """Two threads never import the same modules at a time; without work, nothing is imported."""
    happened: list[str] = []
    release = threading.Event()

    def prepare() -> None:
        release.wait(10)
        happened.append("imported")

    screen = screens.Screen(
        write=lambda _: happened.append("written"), prepare=prepare, jobs=1, quiet=True
    )
    with screen:
        screen.planned(Plan([], [], [], tasks=[task("a")]))
        threading.Timer(0.05, release.set).start()
        found = Results.__new__(Results)
        object.__setattr__(found, "folder", tmp_path)
        screen.finished(found)

    assert ["imported", "written"] == happened

    idle = screens.Screen(prepare=lambda: happened.append("again"), jobs=1, quiet=True)
    with idle:
        idle.planned(Plan([], [], []))

    assert ["imported", "written"] == happened
