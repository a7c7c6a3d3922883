"""A family of variants has tables and plots of its own, and no part in those of all codecs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from bench.analysis import summary
from bench.measurement.results import Results
from bench.output import families, family_plots, headline, write
from bench.output.sheet import RC

LEVELS = {"v": range(6), "v-more": range(6), "v-three": (1, 3, 5)}
FACTORS = {"v": 1.0, "v-more": 1.1, "v-three": 0.95}


def rows(codecs: tuple[str, ...], images: int = 5) -> pd.DataFrame:
    """Smooth curves; ``v-more`` needs 10 % more bits than ``v``, ``v-three`` 5 % less."""
    return pd.DataFrame(
        {
            "dataset": "set",
            "image": f"{image}.png",
            "codec": codec,
            "label": f"{codec} (1)",
            "setting": f'{{"level":{level}}}',
            "bytes": 1000.0,
            "bpp": 0.1 * 1.6**level * (1 + image / 10) * FACTORS.get(codec, 2.0),
            "psnr_db": 28.0 + 2 * level + image,
            "error": "",
            "width": 64.0,
            "height": 64.0,
        }
        for codec in codecs
        for level in LEVELS.get(codec, range(6))
        for image in range(images)
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """Two codecs and a family, written once."""
    folder = tmp_path_factory.mktemp("out")
    record = {"datasets": {}, "families": {"v": list(LEVELS)}, "finished": "yes"}
    ceilings = pd.DataFrame(columns=["dataset", "codec", "label", "ceiling_psnr_db", "images"])
    results = Results(folder, rows(("bpg", "x")), ceilings, record, None, {"v": rows((*LEVELS,))})
    write.write(results)
    return results, folder


def test_the_tables_of_all_codecs_are_not_cluttered(written):
    """Headline, rate table and plots have the codecs alone; CSV files have every row."""
    results, folder = written
    text = (folder / "tables" / "set_rd.md").read_text() + (
        folder / "tables" / "set_bd_rate.md"
    ).read_text()
    deltas = pd.read_csv(folder / "bd_rate.csv")

    assert "v-three" not in text
    assert "v-three" not in (folder / "plots" / "set_psnr_db_linear.svg").read_text()
    assert "v-" not in " ".join(headline.lines(deltas, "set", results.rows))
    assert 0 == sum("v-" in line for line in headline.lines(deltas, "set", results.rows))
    for name in ("rows.csv", "summary.csv"):
        assert {"bpg", "x", *LEVELS} == set(pd.read_csv(folder / name)["codec"])
    assert {"bpg", "v"} == set(deltas["anchor"])
    assert len(results.every_row) == len(pd.read_csv(folder / "rows.csv"))


def test_a_family_is_compared_with_its_own(written):
    """Rates are against the family's first, with the rate at equal quality of three points."""
    _, folder = written
    text = (folder / "tables" / "set_family-v.md").read_text()
    more, three = (
        next(line for line in text.splitlines() if name in line) for name in ("v-more", "v-three")
    )

    assert "rate against v**" in text
    assert "bpg" not in text
    assert 2 == len(re.findall(r"\+10\.0\d \[\+10\.0\d, \+10\.0\d\]", more))
    assert 1 == len(re.findall("\N{MINUS SIGN}5\\.\\d\\d \\[", three))
    assert "needs at least 4 points" in three
    assert {".png", ".svg"} == {p.suffix for p in (folder / "plots").glob("set_family-v_psnr_db*")}


def test_files_of_a_family_go_with_it(written, tmp_path):
    """Where the next plan has no family, its files are not left over."""
    results, folder = written
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    few = rows(("x",), images=1)

    write.write(Results(tmp_path, few, results.ceilings, results.record))

    assert [] == [p.name for p in tmp_path.rglob("*family*")]


def test_a_family_without_its_first(tmp_path):
    """Where the codec itself is missing, the first of its variants takes its place."""
    mine = rows(("v-more", "v-three"))

    assert "v-more" == families.anchor_of("v", mine)
    table = families.comparison(
        mine, summary.bd_table(mine, "v-more", quality=True), name="n", title="t"
    )
    assert ["v-three"] == [row[1].text for row in table.rows]


def test_one_point_alone_is_drawn(tmp_path):
    """A dedicated network of one level is one point: drawn, compared, and no error."""
    mine = pd.concat([rows(("v",)), rows(("v-three",))[lambda f: f["setting"] == '{"level":3}']])
    curves = families.image_curves(summary.comparable(mine), "psnr_db")
    means = summary.summarise(mine)

    with mpl.rc_context(RC):
        figure = family_plots.draw(
            family_plots.drawing(means, curves, "v", "psnr_db"),
            "v",
            "psnr_db",
            heading="h",
            small_print="s",
        )

    low = figure.axes[1]
    assert any(line.get_gid() == "gap|v-three" for line in low.lines)
