"""From passes to rows, tables and plots, with a pool whose clock is the test's."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from bench import registry
from bench.dataset import open as dataset
from bench.errors import CodecError, UsageError
from bench.measurement import plan
from bench.output import csv_files
from bench.throughput import idle_check, measure, plots, rows, tables
from bench.throughput import write as output
from bench.throughput.options import Options
from bench.throughput.runner import Pass
from bench.throughput.worker import Job
from bench.throughput.worker_pool import Lanes, Used

RECORD = {"date": "2026-02-03", "commit": "abc", "versions": {}, "cpu": "a clock"}


class WorkerPool:
    """A batch of b takes b + 1 s to encode and half of that to decode; nobody works."""

    energy_j: float | None = None
    fails_at: int | None = None
    made: list[tuple[Job, Lanes]]

    def __init__(self, job: Job, lanes: Lanes) -> None:
        self.job, self.lanes = job, lanes
        self.made.append((job, lanes))

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self):
        return {"python": 0.1, "import": 0.2, "first encode": 3.0, "first decode": 4.0}

    def quality(self):
        return 0.5, 30.0 if "agvae" in self.job.codec else math.inf

    def size(self, batch):
        if batch == self.fails_at:
            raise CodecError("out of memory")
        return 4 * batch * self.lanes.processes, 2.0 * batch * self.lanes.processes

    def mark(self):
        pass

    def used(self):
        return Used(0.0, 1_000_000 * self.lanes.processes, None, self.energy_j)

    def run(self, direction, batch, *, loops=1, phases=False):
        time_s = (batch + 1) * (1.0 if direction == "encode" else 0.5)
        return Pass(time_s, {"analysis": time_s / 4} if phases else {}, loops)

    def files(self, direction):  # noqa: ARG002 - part of a pool
        return Pass(3.0, {"load": 1.0, "write": 2.0})


@pytest.fixture
def do(tmp_path: Path, monkeypatch):
    """Return a function that measures codecs with the false pool."""
    monkeypatch.setattr(idle_check, "was_busy", lambda *_: False)
    opened = dataset.open_dataset("sample", download=False)

    def run(*names: str, device: str = "cpu", busy: str = "", said=lambda _: None, **more: object):
        pool = type("Made", (WorkerPool,), {"made": [], **more})
        curves = []
        for name in names:
            codec = registry.create(name, device)
            setting = registry.settings(codec, registry.Spec.parse(name))[0]
            curves.append(plan.Curve(codec, (setting,)))
        options = Options(device, batches=(1, 4), threads=(1, 2), repeats=3)
        request = measure.Request([opened], curves, options, tmp_path, busy)
        return measure.measure(request, said, pool), pool

    return run


def find(result, **wanted):
    """Return the only row with these values."""
    [row] = [r for r in result.rows if all(getattr(r, k) == v for k, v in wanted.items())]
    return row


def test_rows_of_a_learned_codec(do):
    """Every batch and number of threads, in one process; phases beside the whole call."""
    result, pool = do("agvae")
    whole = [r for r in result.rows if r.direction == r.phase == "encode"]
    row = find(result, phase="encode", batch=4, threads=2)

    assert [(1, 1), (1, 4), (2, 1), (2, 4)] == [(r.threads, r.batch) for r in whole]
    assert {1} == {r.processes for r in whole}
    assert [Lanes(1, 1), Lanes(1, 2)] == [lanes for _, lanes in pool.made]
    assert (5.0, 0.0, 16, 8.0) == (row.median_s, row.iqr_s, row.images, row.megapixels)
    assert (5000 / 16, 8 / 5) == (row.ms_per_image, row.mp_per_s)
    assert (
        1.25 == find(result, phase="analysis", direction="decode", batch=4, threads=2).median_s * 2
    )
    assert "float32" == row.precision
    assert math.isnan(row.energy_j_per_mp)
    assert math.isnan(row.peak_device_bytes)


def test_rows_of_a_classical_codec(do):
    """Processes, each with one thread; batches of one; the aggregate."""
    result, pool = do("jpeg")
    row = find(result, phase="decode", processes=2)

    assert [Lanes(1, 1), Lanes(2, 1)] == [lanes for _, lanes in pool.made]
    assert (1, 1, 8, 4.0) == (row.threads, row.batch, row.images, row.megapixels)
    assert (4.0, 2_000_000) == (row.mp_per_s, row.peak_host_bytes)
    assert "" == row.precision


def test_start_and_files_stand_apart(do):
    """Once a pool, once a codec; in no whole call."""
    result, _ = do("jpeg")

    assert (
        pytest.approx(7.3) == find(result, direction="start", phase="start", processes=2).median_s
    )
    assert 2.0 == find(result, direction="decode", phase="write").median_s
    assert 1 == len([r for r in result.rows if r.direction == "encode" and r.phase == "load"])


def test_gpu_energy_and_phases_apart(do, monkeypatch):
    """Joules go by what was coded; the passes with a stopwatch are others than those that count."""
    asked = []
    run = WorkerPool.run

    def spy(self, *words, **more):
        asked.append(more["phases"])
        return run(self, *words, **more)

    monkeypatch.setattr(WorkerPool, "run", spy)
    result, _ = do("agvae", device="cuda", energy_j=30.0)
    row = find(result, phase="encode", batch=1)

    assert 5.0 == row.energy_j_per_mp  # 3 passes of 2 MP
    assert 4 * [*5 * [False], *5 * [True]] == asked
    assert "cuda" == row.device


def test_busy_flags_every_row(do, monkeypatch):
    """Busy from the start; or only what somebody disturbed."""
    result, _ = do("jpeg", busy="somebody")

    assert all(row.busy for row in result.rows)
    disturbed = iter([True, *9 * [False]])
    monkeypatch.setattr(idle_check, "was_busy", lambda *_: next(disturbed))
    result, _ = do("jpeg")

    assert {("encode", 1)} == {(r.direction, r.processes) for r in result.rows if r.busy}


def test_a_failure_costs_its_own_rows(do):
    """A batch that does not fit leaves the others; the reason is kept."""
    said: list[str] = []
    result, _ = do("agvae", "jpeg", fails_at=4, said=said.append)
    words = [name for name, reason in result.failed if reason == "out of memory"]

    assert 2 == len(words) == len(result.failed)
    assert all("batch 4" in name for name in words)
    assert {"agvae", "jpeg"} == {row.codec for row in result.rows}
    assert 4 == len(said)


@pytest.fixture
def written(do, tmp_path: Path) -> Path:
    """The files of a measurement."""
    result, _ = do("agvae", "jpeg", busy="somebody")
    output.write(result, tmp_path / "out", RECORD)
    return tmp_path / "out"


def test_csv_and_json_tell_the_same(written: Path):
    """Long form, the columns of the design; unknown is empty, never zero."""
    table = pd.read_csv(written / "throughput.csv")
    content = json.loads((written / "throughput.json").read_text())

    assert list(rows.COLUMNS) == list(table.columns)
    assert len(table) == len(content["rows"])
    assert content["rows"][-1]["energy_j_per_mp"] is None
    assert table["energy_j_per_mp"].isna().all()
    assert table["busy"].all()
    assert content["record"]["commit"] == "abc"
    assert [30.0, None] == [line["psnr_db"] for line in content["quality"]]  # jpeg's was inf


def test_table_and_plots_are_flagged(written: Path):
    """A reader of any of them knows that the machine was busy."""
    text = (written / "throughput.md").read_text()
    svgs = sorted((written / "plots").glob("*.svg"))

    assert 3 == text.count("**MACHINE WAS BUSY")
    assert "| 2 processes" in text.replace("cpu, ", "| ")
    assert ["sample_batch.svg", "sample_rate_distortion_speed.svg"] == [p.name for p in svgs]
    for path in svgs:
        assert "MACHINE WAS BUSY" in " ".join(path.read_text().split())
        assert path.with_suffix(".png").stat().st_size > 1000


def test_quiet_results_are_not_flagged(do):
    """No false alarm."""
    result, _ = do("jpeg")

    assert "BUSY" not in tables.documents(result, RECORD)


def test_quality_is_psnr_or_bd_rate(do, tmp_path: Path):
    """The curve's own rate beside PSNR; with stored results the BD-rate against their anchor."""
    result, _ = do("agvae", "jpeg")
    [seen] = plots.quality_points(result.rows, result, "sample", None).groupby("series")
    ladder = [(0.2, 28.0), (0.4, 31.0), (0.8, 34.0), (1.6, 37.0)]
    stored = [
        {"dataset": "sample (2 of 4)", "image": "i", "codec": codec, "label": codec}
        | {"setting": f'{{"q":{k}}}', "bytes": 100, "bpp": factor * bpp, "psnr_db": db}
        | {"bitstream_sha256": "", "error": "", "encode_s": 1.0, "decode_s": 1.0}
        for codec, factor in (("jpeg", 1.0), ("agvae", 0.8))
        for k, (bpp, db) in enumerate(ladder)
    ]
    (tmp_path / "rows.csv").write_bytes(csv_files.to_csv(pd.DataFrame(stored)))
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    points = plots.quality_points(result.rows, result, "sample", tmp_path)

    assert "AG-VAE\n0.50 bpp" == seen[1]["label"].iloc[0]  # jpeg's inf dB lies nowhere
    assert [8 / 2.5, 8 / 2.5] == seen[1]["x"].tolist()  # its fastest batch
    assert {"agvae": pytest.approx(-20), "jpeg": 0} == dict(
        zip(points["codec"], points["y"], strict=True)
    )
    with pytest.raises(UsageError, match="bench all -d kodak"):
        plots.bd_rates(tmp_path, "kodak (8 of 24)")


def _stored(folder: Path, **columns: object) -> Path:
    """Results of two codecs at one point, in need of 100 and 80 bytes."""
    stored = [
        {"dataset": "sample (2 of 4)", "image": "i", "codec": codec, "label": codec}
        | {"setting": '{"target":"psnr=30"}', "bytes": size, "bpp": size / 100, "psnr_db": 30.0}
        | {"bitstream_sha256": "", "error": "", "encode_s": 1.0, "decode_s": 1.0}
        | {name: size / 100 if value is None else value for name, value in columns.items()}
        for codec, size in (("jpeg", 100.0), ("webp", 80.0))
    ]
    (folder / "rows.csv").write_bytes(csv_files.to_csv(pd.DataFrame(stored)))
    (folder / "run.json").write_text(json.dumps(RECORD | SIZES))
    return folder


SIZES = {"datasets": {"sample (2 of 4)": {"sizes": {"i": [40, 20]}}}}


def test_a_run_that_searched_has_bits_at_equal_quality(tmp_path: Path):
    """Instead of BD-rates, which one target does not have; without either nothing is drawn."""
    found = {"found_setting": '{"quality":7}', "target_miss": 0.0, "target_note": ""}
    searched = _stored(tmp_path, **found, target_bpp=None)

    assert ("bits at psnr=30", "jpeg", {"jpeg": 0.0, "webp": pytest.approx(-20.0)}) == (
        plots.bd_rates(searched, "sample")
    )
    with pytest.raises(UsageError, match=r"no BD-rate of sample: .*pchip needs at least 4 points"):
        plots.bd_rates(_stored(tmp_path, setting='{"quality":7}'), "sample")
