"""``bench complexity``: the table, its files, and the plot of what BD-rate costs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench import registry
from bench.cli.complexity import _words
from bench.codec import Complexity, Setting
from bench.errors import UsageError
from bench.measurement import complexity as counting
from bench.measurement.results import Results
from bench.output import complexity, pareto


def _line(codec: str, decoder: float | None, *qualities: int) -> counting.Line:
    sides = (None, None) if decoder is None else (decoder + 1, decoder)
    found = Complexity(7_030_000, 4_000_000, 3_500_000, *sides, 91.1)
    settings = tuple(Setting(quality=quality).json for quality in qualities)
    return counting.Line(codec, f"{codec} RGB 8-bit (v1)", settings, found)


LINES = [_line("small", 20.0, 1, 2), _line("mixed", 47.56, 1, 2), _line("mixed", 97.56, 3, 4)]
RECORD = {"date": "2026-11-30", "commit": "abc", "cpu": "x", "system": "y"}


def _results(folder: Path, better: dict[str, float]) -> Results:
    """Rows whose curves differ by a factor in rate."""
    rows = [
        {
            "dataset": "d",
            "image": image,
            "codec": codec,
            "label": f"{codec} RGB 8-bit (v1)",
            "setting": Setting(quality=quality).json,
            "bytes": 1000,
            "bpp": factor * 0.1 * 2**quality,
            "psnr_db": 28.0 + 2 * quality + 0.1 * number,
            "error": "",
        }
        for codec, factor in better.items()
        for number, image in enumerate(("a", "b", "c", "d"))
        for quality in (1, 2, 3, 4)
    ]
    return Results(folder, pd.DataFrame(rows), pd.DataFrame(), RECORD)


def test_the_table_says_sides_and_what_is_not_counted():
    """A line a network; what cannot be told is empty, not zero."""
    text = complexity.table([*LINES, _line("blind", None, 1)], RECORD).markdown()
    blind = next(line for line in text.splitlines() if line.startswith("| blind"))

    assert "quality 1 to quality 2" in text
    assert "47.56" in text
    assert "7.03" in text
    assert "Not counted: the entropy coder" in text
    assert ["", ""] == [cell.strip() for cell in blind.split("|")[6:8]]


def test_files_and_plot(tmp_path: Path):
    """CSV, Markdown, LaTeX and a plot for each dataset that has BD-rates."""
    results = _results(tmp_path, {"jpeg": 1.0, "small": 0.8, "mixed": 0.5})
    written = complexity.write(LINES, tmp_path, RECORD, results)
    frame = pd.read_csv(tmp_path / "complexity.csv")

    assert {"d_complexity.png", "d_complexity.svg"} <= {path.name for path in written}
    assert [47.56, 97.56] == frame.loc[frame["codec"] == "mixed", "decoder_kmac_per_pixel"].tolist()
    assert all(path.is_file() for path in written)


def test_points_are_means_over_the_curve(tmp_path: Path):
    """As the BD-rate is; a codec without network or without rate is not drawn."""
    results = _results(tmp_path, {"jpeg": 1.0, "small": 0.8, "mixed": 0.5})
    found = complexity.points([*LINES, _line("absent", 5.0, 1)], results, "d").set_index("series")

    assert {"small", "mixed"} == set(found.index)
    assert (47.56 + 97.56) / 2 == pytest.approx(found.loc["mixed", "x"])
    assert -50.0 == pytest.approx(found.loc["mixed", "y"], abs=0.01)
    assert complexity.points(LINES, _results(tmp_path, {"jpeg": 1.0}), "d") is None


def test_the_front_is_what_nothing_beats():
    """Of equal points one stays; a point on the way down that is beaten does not."""
    points = [(3.0, 4.0), (1.0, 9.0), (2.0, 9.0), (4.0, 5.0), (5.0, -1.0), (1.0, 9.0)]

    assert [(1.0, 9.0), (3.0, 4.0), (5.0, -1.0)] == pareto.front(points)


def test_neighbours_that_cost_the_same_share_a_line():
    """And a codec that has no network has no line."""
    codec = registry.create("agvae-small")
    (line,) = counting.lines_of(codec, codec.ladder())

    assert len(codec.ladder()) == len(line.settings)
    assert [] == counting.lines_of(registry.create("jpeg"), registry.create("jpeg").ladder())


def test_the_command_needs_a_network(run_bench):
    """``-c jpeg`` ends in one line and exit code 2."""
    done = run_bench("complexity", "-c", "jpeg", check=False)

    assert 2 == done.returncode
    assert done.stderr.startswith("bench: none of these codecs has a network: jpeg")
    results = _results(Path("x"), {"jpeg": 1.0, "nosuch": 1.0})
    with pytest.raises(UsageError, match="no learned codec that is known here: jpeg, nosuch"):
        _words([], results)
