"""What is mistyped is told before anything is fetched, opened or written."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from bench import image, metrics
from bench.errors import BenchError, DatasetError, OutputError, UsageError
from bench.measurement import run as conductor
from bench.measurement.progress import Progress
from bench.measurement.run import run
from bench.metrics.lpips import LpipsAlex


class Refuses(Progress):
    """Refuses the plan, as an unknown anchor does."""

    def chosen(self, _plan: object) -> None:
        """Refuse."""
        raise UsageError("no such anchor")


@pytest.fixture
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a dataset is opened or weights are downloaded."""

    def fail(*_words: object, **_options: object) -> None:
        pytest.fail("something was fetched")

    monkeypatch.setattr(conductor, "fetch_weights", fail)
    monkeypatch.setattr(conductor.opening, "open_dataset", fail)
    monkeypatch.setattr(conductor.opening, "choose_default", fail)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"codecs": ["jpge"]}, "Did you mean jpeg"),
        ({"metrics": ["lpips", "pnsr"]}, "Did you mean psnr"),
        ({"datasets": ["kodak", "kodka"]}, "Did you mean kodak"),
        ({"datasets": ["kodak", "folder:/nowhere"]}, "/nowhere"),
        ({"points": 0}, "--points"),
        ({"codecs": ["jpeg:quality=400"]}, "from 1 to 100"),
        ({"device": "tpu"}, "cpu or cuda"),
        ({"progress": Refuses()}, "no such anchor"),
    ],
)
def test_a_mistake_is_told_first(nothing_is_fetched, options: dict[str, Any], said: str):
    """The first dataset of a list is not fetched either where the second is mistyped."""
    with pytest.raises(BenchError, match=said):
        run(**{"codecs": ["jpeg"], "metrics": ["psnr"], "points": 1} | options)


@pytest.mark.parametrize("below", ["file/out", "file"])
def test_a_folder_that_cannot_be_written_is_told_first(nothing_is_fetched, below, tmp_path: Path):
    """And no folder is made for it."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write results to"):
        run([], ["jpeg"], ["psnr"], out=tmp_path / below)

    assert ["file"] == [path.name for path in tmp_path.iterdir()]


def test_weights_that_cannot_be_fetched_cost_a_line(tmp_path: Path, photo, monkeypatch):
    """Offline the run goes on with what there is; the reason is one short line."""

    class Says(Progress):
        said: list[str]

        def say(self, text: str, *, loud: bool = False) -> None:  # noqa: ARG002
            self.said.append(text)

    def fetch(metric: type[metrics.Metric], _tell: object) -> None:
        if metric is LpipsAlex:
            raise DatasetError("weights of lpips_alex could not be downloaded: no network", "Wait.")

    monkeypatch.setattr(conductor, "fetch_weights", fetch)
    image.save(photo[:40, :48], tmp_path / "in.png")
    watch = Says()
    watch.said = []
    names = ["psnr", "lpips"] if LpipsAlex.wanted() is not None else ["psnr"]
    words = [f"folder:{tmp_path}"], ["jpeg"], names
    with contextlib.suppress(_Stop):
        run(*words, points=1, jobs=1, progress=watch, make_executor=_refused)
    said = [line for line in watch.said if "lpips" in line]

    assert ["weights of lpips_alex could not be downloaded: no network"] * (len(names) - 1) == said


class _Stop(BaseException):
    """The plan is complete; nothing is measured."""


def _refused(*_: object, **__: object) -> None:
    raise _Stop


def test_what_is_unavailable_is_one_line(tmp_path: Path, photo, monkeypatch):
    """Nine codecs without weights are nine names, not nine paragraphs."""
    said: list[str] = []
    plan = conductor.plans.Plan([], [], [("a", "a long reason"), ("b", "another one")])
    watch = Progress()
    monkeypatch.setattr(watch, "say", lambda text, **_: said.append(text), raising=False)
    conductor._report(plan, watch)

    assert ["unavailable here and left out (bench list --verbose says why): a, b"] == said


def test_a_quick_run_takes_six_images(photo, tmp_path):
    """At even distances, and says so beside the numbers; images that are named are all taken."""
    for number in range(11):
        image.save(photo[number : number + 8, 0:8].copy(), tmp_path / f"p{number:02d}.png")
    words = [f"folder:{tmp_path}"], ["jpeg"], ["psnr"]

    quick = run(*words, quick=True)
    named = run(*words, quick=True, images=[f"p{n:02d}.png" for n in range(7)])

    [(name, about)] = quick.record["datasets"].items()
    assert ["p00.png", "p02.png", "p04.png", "p06.png", "p08.png", "p10.png"] == sorted(
        about["images"]
    )
    assert "measures 6 of the 11 images" in about["note"]
    assert "(6 of 11)" in name
    assert 7 == named.rows["image"].nunique()


def test_every_line_of_a_quick_run_counts_what_it_measures(tmp_path, monkeypatch):
    """No line counts the images that were available: they are not all measured."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    watch, said = Progress(), []
    monkeypatch.setattr(watch, "say", lambda text, **_: said.append(text))
    monkeypatch.setattr(conductor.plans, "QUICK_IMAGES", 3)
    opened, _ = conductor.open_datasets([], [], tmp_path, watch, download=False, quick=True)

    assert [3] == [len(dataset.items) for dataset in opened]
    assert "no dataset is named; measuring sample (3 of 4)" == said[0]
    assert "sample: a quick run measures 3 of the 4 images of sample" in said[-1]
    assert {"3 of 4", "3 of the 4"} == {
        count for text in said for count in re.findall(r"\d+(?: of (?:the )?\d+)?(?= |\))", text)
    }
