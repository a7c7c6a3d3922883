"""What one cell may do in a worker: scores that are no numbers, pictures that changed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from bench import image, registry
from bench.codec import Setting
from bench.dataset.manifest import File
from bench.dataset.open import Item
from bench.measurement import executor, pictures, run, worker
from bench.measurement.encoding import Encoding
from bench.measurement.plan import Plan
from bench.measurement.store import Store
from bench.metrics import create


@pytest.fixture
def task(tmp_path: Path, photo: image.Image) -> worker.Task:
    """One cell of JPEG on a small photograph."""
    pixels = photo[:48, :64]
    image.save(pixels, tmp_path / "one.png")
    row = Encoding("key", image.pixels_sha256(pixels), 64, 48, "jpeg", "1", "jpeg (1)", "{}")
    setting = Setting(quality=50, subsampling="4:2:0", optimize=False, progressive=False)
    item = Item("one.png", tmp_path / "one.png", File("one.png"))
    return worker.Task(item, "jpeg", "cpu", setting, ("psnr",), False, row)


@pytest.fixture(autouse=True)
def _forget():
    """No picture stays in this process."""
    pictures.forget_all_but()
    yield
    pictures.forget_all_but()
    worker._metric.cache_clear()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "refused: MetricError: metric psnr returned nan, wanted a number"),
        (None, "refused: MetricError: metric psnr returned None, wanted a number"),
        (1e300, "refused: MetricError: metric psnr returned 1e+300, wanted "),
        (-math.inf, "refused: MetricError: metric psnr returned -inf, wanted "),
        ("30", "refused: MetricError: metric psnr returned '30', wanted a number"),
        (ZeroDivisionError("no"), "crashed: metric psnr: ZeroDivisionError: no"),
        (SystemExit(0), "crashed: metric psnr: SystemExit: 0"),
    ],
)
def test_a_score_that_is_no_number_is_an_error(task, monkeypatch, value, text: str):
    """NaN, nothing, text or an exception of a metric; the encoding itself is good."""

    def score(_self, _state, _decoded):
        if isinstance(value, BaseException):
            raise value
        return value

    monkeypatch.setattr(type(create("psnr")), "score", score)
    row = worker.run(task)

    assert row.score_error.startswith(text)
    assert {} == row.scores
    assert ("", True) == (row.error, bool(row.data))


def test_a_metric_cannot_write_into_what_the_next_one_compares(task, monkeypatch):
    """The decoded picture is read-only as the original is: no metric makes it equal to that."""

    def score(_self, state, decoded):
        np.copyto(decoded, state)
        return 1.0

    monkeypatch.setattr(type(create("psnr")), "score", score)

    assert "destination is read-only" in worker.run(task).score_error


def test_another_picture_than_planned_is_an_error(task, tmp_path: Path):
    """A file with other pixels than those of the plan is not measured."""
    image.save(np.zeros((48, 64, 3), np.uint8), tmp_path / "one.png")
    row = worker.run(task)

    assert row.error.startswith("refused: DatasetError: ")
    assert "holds another picture now" in row.error


def test_pictures_of_codecs_cannot_be_written(task):
    """The array that a codec gets has no writable owner."""
    given = pictures.load(task.item, task.row.pixels).image
    with pytest.raises(ValueError, match="WRITEABLE"):
        given.flags.writeable = True


def test_the_next_codec_gets_the_picture_as_it_is(task):
    """Whatever the one before it made of the array that it was given."""
    loaded = pictures.load(task.item, task.row.pixels)
    for given in (loaded.image, loaded.kept):
        shape = given.shape
        given.shape = (-1,)
        given.dtype = np.int8  # type: ignore[assignment]

        assert (shape, np.uint8) == (loaded.image.shape, loaded.image.dtype)
        assert (shape, np.uint8) == (loaded.kept.shape, loaded.kept.dtype)


def test_a_damaged_stored_file_is_made_again(task, tmp_path: Path):
    """Where stored bytes lost their hash the image is encoded again, and they are replaced."""
    with Store(tmp_path / "out") as store:
        store.put(worker.run(task))
        good = store.bitstream("key")
        store._db.execute("UPDATE bitstreams SET data = x'00'")
        again = executor._with_bytes(
            worker.Task(task.item, "jpeg", "cpu", task.setting, ("psnr",), False, task.row, True),
            store,
        )
        store.put(worker.run(again))

        assert not again.stored
        assert good == store.bitstream("key")


def test_a_worker_of_another_version_measures_nothing(task):
    """Of a cluster: its rows would be stored under the version that the client has."""
    here = registry.create("jpeg").version()
    same = replace(task, elsewhere=True, row=replace(task.row, version=here))
    text = (
        f"refused: Unavailable: jpeg is {here} on this worker, planned was 1; it was not measured"
    )

    assert worker.run(replace(task, elsewhere=True)).error.startswith(text)
    assert "" == worker.run(same).error
    assert "" == worker.run(task).error  # in this process both are one


@pytest.mark.parametrize("elsewhere", [True, False])
def test_cells_of_a_cluster_are_sent_as_such(task, elsewhere: bool):
    """They compare versions, and keep no picture for a page that is made here."""
    plan = cast("Plan", SimpleNamespace(tasks=[task], curves=[], cells=[]))
    for page in (True, False):
        found = run._tasks(plan, elsewhere=elsewhere, page=page)
        assert [replace(task, elsewhere=elsewhere)] == found
