"""A metric in one file of another package is everywhere, whatever it is called."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import metrics
from bench.errors import MetricError, UsageError
from bench.measurement.results import read_csv
from bench.metrics import Decibels, Metric, Undefined, columns

Bench = Callable[..., subprocess.CompletedProcess[str]]

CODE = '''
"""Two metrics of a stranger: both better when smaller, one with a form in decibels."""
import math
import numpy as np
from bench.metrics import Decibels, Metric

class Mean(Metric):
    name = "x-mean $_^ 2%"
    column = "x/mean|diff $_^ <b>"
    title = "Mean $_^difference <b>"
    unit = "levels"
    higher_is_better = False
    digits = 3
    limits = (0.0, 255.0)
    definition = "Mean of |a - b|."

    def score(self, state, decoded):
        return float(np.abs(state.astype(int) - decoded).mean())

class Root(Metric):
    name = "x-root"
    higher_is_better = False
    limits = (0.0, 255.0)
    smallest_px = 40
    decibels = Decibels(
        "x_root_db", "Root", lambda v: math.inf if v == 0 else -20 * math.log10(v / 255)
    )

    def score(self, state, decoded):
        return float(np.sqrt(((state.astype(float) - decoded) ** 2).mean()))
'''
ODD, ROOT = "x/mean|diff $_^ <b>", "x-root"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which a package with two metrics is installed."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger.py").write_text(CODE)
    info = folder / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[bench.metrics]\nmean = stranger:Mean\nroot = stranger:Root\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def measured(
    stranger: dict[str, str], run_bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A run with both metrics over two photographs, a flat picture and a small one."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(1)
    smooth = draw.integers(0, 256, (8, 8, 3), np.uint8)
    for name, side in (("a", 48), ("b", 48), ("small", 32)):
        picture = PILImage.fromarray(np.roll(smooth, ord(name[0]), 0)).resize((side, side))
        picture.save(folder / f"{name}.png")
    PILImage.new("RGB", (48, 48), "white").save(folder / "flat.png")
    out = tmp_path_factory.mktemp("out")
    done = run_bench(
        *("all", "-d", f"folder:{folder}", "-c", "jpeg", "-c", "webp", "-q", "5,30,60,90"),
        *("-m", "psnr", "-m", "x-mean $_^ 2%", "-m", ROOT, "--out", str(out), "-j", "1"),
        env=stranger,
        plots=True,
    )
    return out, done.stdout


def test_it_is_in_every_file(measured: tuple[Path, str]):
    """rows.csv, summary.csv, BD-rates, tables, plots, the export and the last lines of a run."""
    out, said = measured

    rows, means = read_csv(out / "rows.csv"), (out / "summary.csv").read_text()
    assert [ROOT, ODD] == list(rows.columns[9:11])
    assert rows[ODD].notna().all()
    assert f"{ODD},images_psnr_db" in means.splitlines()[0]
    deltas = read_csv(out / "bd_rate.csv")
    assert {"psnr_db", "x_root_db", ODD} == set(deltas["metric"])
    odd = deltas[(deltas["metric"] == ODD) & (deltas["method"] == "pchip")].iloc[0]
    psnr = deltas[(deltas["metric"] == "psnr_db") & (deltas["method"] == "pchip")].iloc[0]
    assert math.copysign(1, psnr["bd_rate_percent"]) == math.copysign(1, odd["bd_rate_percent"])
    table = next((out / "tables").glob("*_rd.md")).read_text()
    assert "difference" in table
    assert "(levels) \N{DOWNWARDS ARROW}" in table
    assert "Mean of " in table
    plots = {path.name for path in (out / "plots").glob("*_linear.svg")}
    assert 3 == len(plots)
    export = next((out / "codec_compare").glob("*_webp.json")).read_text()
    assert json.dumps(ODD) in export
    assert "x-root" in export
    assert "difference" in said


def test_its_undefined_and_infinite_values_cost_their_images(
    measured: tuple[Path, str], stranger: dict[str, str], run_bench: Bench
):
    """The small picture and the flat one, by their metric's own rules."""
    code = (
        "import sys; from bench import load_results; from bench.analysis.summary import left_out;"
        "print(left_out(load_results(sys.argv[1]).rows).to_csv(index=False))"
    )
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, str(measured[0])],
        env=stranger,
        capture_output=True,
        text=True,
        check=True,
    )

    lines = done.stdout
    assert "x-root is not defined under 40 pixels a side, found 32x32" in lines
    assert "x-root,flat.png" in lines
    assert "psnr_db,flat.png" in lines
    assert "psnr_db,small.png" not in lines


def test_it_is_on_the_page(
    measured: tuple[Path, str], stranger: dict[str, str], run_bench: Bench, tmp_path: Path
):
    """With its title, as text and never as markup."""
    run_bench(
        *("report", "--out", str(measured[0]), "--html", str(tmp_path / "page.html")), env=stranger
    )

    page = (tmp_path / "page.html").read_text()
    assert "Mean $_^difference &lt;b&gt;" in page
    assert "difference <b>" not in page


def test_the_gate_judges_it(
    measured: tuple[Path, str], stranger: dict[str, str], run_bench: Bench, tmp_path: Path
):
    """A baseline holds its column, and a worse value fails."""
    lock = ("check", "--baseline", str(tmp_path / "base.csv"), "--against", str(measured[0]))
    run_bench(*lock, "--update", env=stranger)
    same = run_bench(*lock, env=stranger)
    text = (tmp_path / "base.csv").read_text().splitlines()
    head = text[0].split(",")

    assert {ODD, ROOT} <= set(head)
    assert "identical bytes" in same.stdout


def test_without_its_package_the_results_can_be_read(measured: tuple[Path, str], run_bench: Bench):
    """The record says what its columns are; a form in decibels is a program, and is not there."""
    done = run_bench("tables", "--out", str(measured[0]))

    assert "Traceback" not in done.stderr
    deltas = (measured[0] / "bd_rate.csv").read_text()
    assert "x_root_db" not in deltas
    assert f",{ODD},pchip," in deltas
    assert ODD in (measured[0] / "rows.csv").read_text()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict]]:
    """Return a function that installs objects as entry points and discovers metrics anew."""

    def install(**objects: object) -> dict[str, metrics.Found]:
        class Point:
            dist, value = None, "stranger:thing"

            def __init__(self, name: str, thing: object) -> None:
                self.name, self.thing = name, thing

            def load(self) -> object:
                if isinstance(self.thing, BaseException):
                    raise self.thing
                return self.thing

        points = [Point(name, thing) for name, thing in objects.items()]
        monkeypatch.setattr(metrics, "entry_points", lambda group: points)  # noqa: ARG005
        metrics.discover.cache_clear()
        return metrics.discover()

    yield install
    monkeypatch.undo()
    metrics.discover.cache_clear()


def made(name: str, **attributes: object) -> type[Metric]:
    """Return a metric class."""

    def score(*_: object) -> float:
        return 1.0

    return type("Made", (Metric,), {"name": name, "score": score} | attributes)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (ImportError("No module named 'x'"), "ImportError: No module named 'x'"),
        (made("x", digits=-5), "its digits must be from 0 to 15"),
        (made("x", higher_is_better=None), "its higher_is_better must be true or false"),
        (made("x", version=5), "its version must be a text"),
        (made("x", title="a\nb"), "its title must be one printable line"),
        (3, "no subclass of Metric"),
        (int, "no subclass of Metric"),
        (Metric, "no subclass of Metric"),
        (made(3), "its name must be a text, found 3"),
        (made("x", title=""), "its title must be a text, found ''"),
        (made("x", digits="2"), "its digits must be a whole number, found '2'"),
        (made("x", limits=(1, 0)), "its limits must be two rising numbers, found (1, 0)"),
        (made("x", decibels=float), "its decibels must be None or Decibels"),
        (made("psnr"), "the name 'psnr' is taken"),
        (made("x", column="psnr_db"), "the name 'psnr_db' is taken"),
        (made("x", column="error"), "the name 'error' is taken"),
        (made("bpp", column="y"), "the name 'bpp' is taken"),
        (made("x", decibels=Decibels("bytes", "B", float)), "the name 'bytes' is taken"),
    ],
)
def test_a_broken_metric_costs_itself_only(installed, thing: object, reason: str):
    """It is listed with its reason; every other metric works."""
    found = installed(broken=thing, good=made("good"))

    assert {"psnr", "ms_ssim", "lpips_alex", "good"} <= set(found)
    broken = [item for item in found.values() if item.cls is None]
    assert [True] == [reason in item.reason for item in broken]
    assert 1.0 == metrics.create("good").score(None, None)
    with pytest.raises(MetricError, match="unavailable"):
        metrics.create(next(name for name, item in found.items() if item.cls is None))


def test_a_constructor_that_fails_is_a_reason(installed):
    """Whatever it raises, an exit included."""

    def leave(self):
        raise SystemExit(0)

    installed(exits=made("exits", __init__=leave))

    with pytest.raises(MetricError, match="metric exits is unavailable: SystemExit: 0"):
        metrics.create("exits")


def test_the_documented_metric_works(installed):
    """The example of CONTRIBUTING.md, with a column and a title of its own."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    code = next(t for t in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "(Metric)" in t)
    space: dict = {"__name__": "largest_error"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), space)
    installed(largest=space["LargestError"])
    dark, light = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 7, np.uint8)

    assert 7.0 == metrics.create("largest-error")(dark, light)
    form = columns.column("largest_error")
    assert ("Largest error", 0.0, "lower") == (form.title, form.exact, form.better)


def test_order_of_the_columns(installed):
    """PSNR, MS-SSIM, LPIPS, then the others by their column."""
    installed(b=made("b", decibels=Decibels("b_db", "B", float)), a=made("z", column="a"))

    assert [
        *("psnr_db", "ms_ssim", "ms_ssim_db", "lpips_alex", "lpips_squeeze"),
        *("a", "b", "b_db", "ssimulacra2"),
    ] == list(columns.known())


def test_defaults(installed):
    """PSNR, MS-SSIM, one LPIPS and SSIMULACRA2; a stranger's says so to be in it."""
    installed(more=made("more", in_default_run=True), less=made("less"))

    assert ["psnr", "ms_ssim", "lpips", "more", "ssimulacra2"] == metrics.default_names()
    assert ["psnr", "ms_ssim", "more"] == metrics.basic_names()
    with pytest.raises(UsageError, match="Did you mean less"):
        metrics.create("lesss")


def test_too_small_pictures_are_undefined(installed):
    """For every metric that says its smallest side, also where ``prepare`` does not ask."""
    installed(wide=made("wide", smallest_px=20))
    picture = np.zeros((19, 40, 3), np.uint8)

    with pytest.raises(Undefined, match="wide is not defined under 20 pixels a side, found 40x19"):
        metrics.create("wide")(picture, picture)


def test_decibels_that_fail_are_undefined(installed):
    """A form in decibels that raises at its best is not defined there, and no table breaks."""
    installed(root=made("root", decibels=Decibels("root_db", "R", lambda v: -math.log10(1 - v))))

    values = columns.column("root_db").of_means([0.9, 1.0, math.nan])

    assert [pytest.approx(1), True, True] == [values[0], *np.isnan(values[1:])]


def test_entry_points_are_read_from_the_group():
    """The group is ``bench.metrics``."""
    assert EntryPoint("a", "b:c", metrics.ENTRY_POINTS).group == "bench.metrics"
