"""``bench complexity``: its table and files, and what tables, plots and page take from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench import registry
from bench.cli.complexity import _words
from bench.codec import Complexity, Setting
from bench.errors import UsageError
from bench.measurement import complexity as counting
from bench.measurement.results import Results
from bench.output import complexity, complexity_plot, pareto
from bench.output import write as writing


def _line(codec: str, decoder: float | None, *qualities: int) -> counting.Line:
    sides = (None, None) if decoder is None else (decoder + 1, decoder)
    found = Complexity(7_030_000, 4_000_000, 3_500_000, *sides, 91.1)
    settings = tuple(Setting(quality=quality).json for quality in qualities)
    return counting.Line(codec, f"{codec} RGB 8-bit (v1)", settings, found)


LINES = [_line("small", 20.0, 1, 2), _line("mixed", 47.56, 1, 2), _line("mixed", 97.56, 3, 4)]
RECORD = {"date": "2026-11-30", "commit": "abc", "cpu": "x", "system": "y"}


def _rows(better: dict[str, float]) -> pd.DataFrame:
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
    return pd.DataFrame(rows)


def _results(folder: Path, better: dict[str, float]) -> Results:
    ceilings = pd.DataFrame(columns=["codec", "label", "ceiling_psnr_db"])
    return Results(folder, _rows(better), ceilings, RECORD)


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
    written = complexity.write(LINES, tmp_path, RECORD)
    written += complexity_plot.write(LINES, results, tmp_path)
    frame = pd.read_csv(tmp_path / "complexity.csv")

    assert {"d_complexity.png", "d_complexity.svg"} <= {path.name for path in written}
    assert [47.56, 97.56] == frame.loc[frame["codec"] == "mixed", "decoder_kmac_per_pixel"].tolist()
    assert all(path.is_file() for path in written)


def test_points_are_means_over_the_curve(tmp_path: Path):
    """As the BD-rate is; a codec without network or without rate is not drawn."""
    results = _results(tmp_path, {"jpeg": 1.0, "small": 0.8, "mixed": 0.5})
    found = complexity_plot.points([*LINES, _line("absent", 5.0, 1)], results, "d").set_index(
        "series"
    )

    assert {"small", "mixed"} == set(found.index)
    assert (47.56 + 97.56) / 2 == pytest.approx(found.loc["mixed", "x"])
    assert -50.0 == pytest.approx(found.loc["mixed", "y"], abs=0.01)
    assert complexity_plot.points(LINES, _results(tmp_path, {"jpeg": 1.0}), "d") is None


def test_a_small_network_is_not_nothing():
    """Less than the digits can show is said to be so."""
    line = _line("tiny", 0.001, 1)
    tiny = replace(line, found=replace(line.found, parameters=2600))
    costs = counting.of_rows([tiny], _rows({"tiny": 1.0}))

    assert ["<0.01", "1.00", "<0.01"] == complexity.texts(costs, "tiny")
    assert "0.00" not in complexity.table([tiny], RECORD).markdown()


def test_what_was_written_is_read(tmp_path: Path):
    """Equal lines, though a checkpoint's name may have spaces; what is unknown stays unknown."""
    named = (Setting(checkpoint="a b.pth 12345678").json, Setting(checkpoint="c.pth 9").json)
    lines = [*LINES, _line("blind", None, 1), replace(LINES[0], codec="own", settings=named)]
    complexity.write(lines, tmp_path, RECORD)

    assert (lines, "") == counting.load(tmp_path)
    assert ([], "") == counting.load(tmp_path / "tables")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 100}, "counted at 100x512"),
        ({"decoder_kmac_per_pixel": -1.0}, "decoder_kmac_per_pixel is -1"),
        ({"parameters": 0}, "no parameters"),
        ({"settings": "quality=1"}, "Expecting value"),
        ({"settings": "[7]"}, "complexity is left out"),
        ({"settings": "[" * 100_000}, "recursion"),
        ({"width": ""}, "counted at nan"),
        ({"parameters": "many"}, "complexity.csv as a table"),
    ],
)
def test_a_file_of_something_else_is_not_used(tmp_path: Path, change, words: str):
    """One sentence says so, in the record that tables and page show."""
    complexity.frame(LINES).astype(object).assign(**change).to_csv(
        tmp_path / "complexity.csv", index=False
    )
    lines, reason = counting.load(tmp_path)
    [remark] = counting.of_rows(lines, _rows({"small": 1.0}), reason).remarks

    assert [] == lines
    assert remark.startswith("complexity is left out: ")
    assert words in remark


def test_counts_of_other_networks_are_left_out():
    """Other weights have another label; a codec without network has no number, not zero."""
    rows = _rows({"jpeg": 1.0, "small": 0.8, "mixed": 0.5})
    rows["label"] = rows["label"].replace("small RGB 8-bit (v1)", "small RGB 8-bit (v2)")
    costs = counting.of_rows(LINES, rows)

    assert ["mixed"] == list(costs.codecs)
    assert ["", "", ""] == complexity.texts(costs, "jpeg") == complexity.texts(costs, "small")
    assert [
        "the complexity of small is left out: small RGB 8-bit (v1) was counted, another network"
    ] == costs.remarks


def test_counts_are_of_the_settings_that_were_measured():
    """The mean over a part of the ladder is of that part; a setting nobody counted has none."""
    rows = _rows({"mixed": 0.5})
    ends = [Setting(quality=quality).json for quality in (1, 4)]
    low, two = rows[rows["setting"] == ends[0]], rows[rows["setting"].isin(ends)]
    more = two.assign(setting=two["setting"].replace(ends[1], Setting(quality=9).json))
    found = two[(two["image"] == "a") == (two["setting"] == ends[0])]
    searched = found.assign(setting='{"target":"bpp=1"}', found_setting=found["setting"])
    spans = [
        counting.of_rows(LINES, part).span("mixed", "decoder_kmac")
        for part in (low, two, more, searched)
    ]

    assert [(47.56, 47.56), (47.56, 97.56), None, (47.56, 97.56)] == spans
    assert (47.56 + 97.56) / 2 == counting.of_rows(LINES, two).mean("mixed", "decoder_kmac")
    assert '{"quality":9}' in counting.of_rows(LINES, more).missing["mixed"]
    assert counting.of_rows(LINES[:1], _rows({"small": 1.0})).codecs["small"][2].parameters  # alike


def test_tables_and_plots_show_what_was_counted_since(tmp_path: Path):
    """They are written again when it is there, and a plot goes when it is of other networks."""
    results = _results(tmp_path, {"jpeg": 1.0, "small": 0.8})
    bd_rates, plot = tmp_path / "tables" / "d_bd_rate.md", tmp_path / "plots" / "d_complexity.png"

    def written() -> list[str]:
        writing.write(results)
        table = bd_rates.read_text().splitlines()
        return [line for line in table if "| jpeg" in line or "| small" in line]

    before = written()
    complexity.write(LINES[:1], tmp_path, RECORD)
    [anchor, small] = sorted(written(), key=lambda line: "small" in line)

    assert not any("7.03" in line for line in before)
    assert "7.03" in small
    assert "21.00" in small
    assert "20.00" in small
    assert ["", "", "", "anchor"] == [cell.strip() for cell in anchor.split("|")[-5:-1]]
    assert plot.is_file()
    complexity.write([replace(LINES[0], label="of other weights")], tmp_path, RECORD)
    written()
    assert not plot.exists()
    assert "of other weights was counted, another network" in bd_rates.read_text()


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
    both = _results(Path("x"), {"jpeg": 1.0, "agvae-small": 1.0})
    assert ["mine.py:Mine", "agvae-small"] == _words(["mine.py:Mine"], both)
    assert ["agvae-small"] == _words(["agvae-small"], both)
