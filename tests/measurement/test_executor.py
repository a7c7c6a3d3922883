"""The harness on real processes: resume, isolation of crashes, equal results however it runs."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, cast

import pandas as pd
import pytest

from bench.errors import UsageError
from bench.measurement import cluster, executor, pool
from bench.measurement.pool import LocalPool, Times
from bench.measurement.run import run
from bench.measurement.slot import Call, Slot
from bench.measurement.waiting import Waiting
from bench.measurement.worker import Task

Bench = Callable[..., subprocess.CompletedProcess[str]]
NUMBERS = ["dataset", "image", "codec", "setting", "bytes", "bpp", "psnr_db", "bitstream_sha256"]


def rows_of(out: Path) -> pd.DataFrame:
    """Return rows.csv."""
    return pd.read_csv(out / "rows.csv", keep_default_na=False, na_values=[""])


def stored(out: Path) -> dict[str, str]:
    """Return key -> bitstream hash of what an interrupted run has stored."""
    if not (out / "bench.sqlite").exists():
        return {}
    with closing(sqlite3.connect(out / "bench.sqlite")) as db, db:
        try:
            found = db.execute("SELECT key, bitstream FROM encodings").fetchall()
        except sqlite3.OperationalError:  # killed before the tables were made
            found = []
    assert len(found) == len(dict(found))
    return dict(found)


def words(crops: Path, out: Path, *codecs: str) -> list[object]:
    """Return the command line of a small run."""
    chosen = [word for codec in codecs for word in ("--codec", codec)]
    return ["all", "--dataset", f"folder:{crops}", "--metric", "psnr", "--out", out, *chosen]


def test_one_cell_fails_and_the_rest_stand(
    plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench
):
    """Exceptions, wrong shapes and lack of memory cost their own cells, as rows with errors."""
    codecs = [f"faulty:fault={fault}" for fault in ("raise", "shape", "memory")]
    run_bench(*words(crops, tmp_path / "out", *codecs, "jpeg"))
    rows = rows_of(tmp_path / "out")
    failed = rows[rows.error.notna()]

    assert 4 * (3 * 5 + 8) == len(rows)
    assert 4 * 3 == len(failed)
    assert {8} == {json.loads(text)["step"] for text in failed.setting}
    (error,) = set(failed[failed.codec == "faulty:fault=raise"].error)
    assert re.fullmatch(r"crashed: ZeroDivisionError: a bug in a plug-in \(faulty.py:\d+\)", error)
    assert failed.bytes.isna().all()


def test_crash_of_a_worker_costs_one_cell(
    plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench
):
    """A codec that kills its process loses that cell; another process takes its place."""
    run_bench(*words(crops, tmp_path / "out", "faulty:fault=crash", "jpeg"), "-j", 2)
    rows = rows_of(tmp_path / "out")
    failed = rows[rows.error.notna()]

    assert 4 * (5 + 8) == len(rows)
    assert 4 == len(failed)
    assert {"died: SIGKILL in encode"} == set(failed.error)


def test_failures_are_kept_and_retried_on_demand(
    plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench
):
    """A second run does not repeat failures unless asked to."""
    command = words(crops, tmp_path / "out", "faulty:fault=raise")
    run_bench(*command)
    second = run_bench(*command)
    third = run_bench(*command, "--retry-failed", workers=False)

    assert "0 measured now, 16 stored before, 4 failed" in second.stderr
    assert "4 measured now, 16 stored before, 4 failed" in third.stderr


def test_new_metric_scores_stored_bitstreams(
    plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench
):
    """Scores of a later metric need no second encode: its time stays that of the first run."""
    out = tmp_path / "out"
    run_bench(*words(crops, out, "faulty"), workers=False)
    before = rows_of(out)
    run_bench(*words(crops, out, "faulty"), "--metric", "ms_ssim")
    after = rows_of(out)

    assert before.encode_s.tolist() == after.encode_s.tolist()
    assert after.ms_ssim.between(0.2, 1).all()
    assert before.psnr_db.tolist() == after.psnr_db.tolist()


@pytest.mark.slow
def test_killed_twenty_times_at_random(plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench):
    """kill -9 at any moment: nothing stored is lost, no row twice, the next run completes."""
    codecs = ["faulty:fault=slow", "jpeg", "webp"]
    command = [sys.executable, "-m", "bench", *map(str, words(crops, tmp_path / "out", *codecs))]
    dice = random.Random(7)
    seen: dict[str, str] = {}
    for _ in range(20):
        with subprocess.Popen(
            [*command, "-j", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            time.sleep(dice.uniform(0.3, 2.2))
            process.kill()
        now = stored(tmp_path / "out")

        assert seen.items() <= now.items()
        seen = now
    run_bench(*command[3:])
    rows = rows_of(tmp_path / "out")
    run_bench(*words(crops, tmp_path / "fresh", *codecs))

    assert not rows.duplicated(["dataset", "image", "codec", "setting"]).any()
    pd.testing.assert_frame_equal(rows_of(tmp_path / "fresh")[NUMBERS], rows[NUMBERS])


def test_workers_die_with_their_parent(plugin: Path, crops: Path, tmp_path: Path):
    """After kill -9 of the run no worker process stays behind."""
    psutil = pytest.importorskip("psutil")
    command = words(crops, tmp_path / "out", "faulty:fault=slow")
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, command), "-j", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        children = _wait_for_children(psutil.Process(process.pid))
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)

    assert children
    assert [] == alive


def _wait_for_children(process):
    for _ in range(1000):
        children = process.children(recursive=True)
        if len(children) >= 2:
            return children
        time.sleep(0.05)
    return []


def test_ctrl_c_ends_cleanly_and_the_next_run_goes_on(
    plugin: Path, crops: Path, tmp_path: Path, run_bench: Bench
):
    """SIGINT stores what is in flight, says so in one line and exits with 130."""
    command = words(crops, tmp_path / "out", "faulty:fault=slow")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, command), "-j", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not stored(tmp_path / "out"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    kept = len(stored(tmp_path / "out"))
    again = run_bench(*command, workers=False)

    assert 130 == process.returncode
    assert "Traceback" not in stderr
    assert "run the same command again to continue" in stderr
    assert 0 < kept < 20
    assert f"{20 - kept} measured now, {kept} stored before" in again.stderr


def test_jobs_do_not_change_results(crops: Path, monkeypatch: pytest.MonkeyPatch):
    """One process and three, which all start at once, give equal rows."""
    monkeypatch.setattr(pool, "_ALONE_S", -1.0)
    asked = [f"folder:{crops}"], ["jpeg", "webp"], ["psnr"]
    one, three = (run(*asked, quick=True, jobs=jobs).rows[NUMBERS] for jobs in (1, 3))

    pd.testing.assert_frame_equal(one, three)


def test_bad_image_costs_its_own_rows(crops: Path, tmp_path: Path, run_bench: Bench):
    """A damaged file in a folder is rows with errors; the others are measured."""
    (crops / "broken.png").write_bytes((crops / "crop0.png").read_bytes()[:2000])
    run_bench(*words(crops, tmp_path / "out", "jpeg"), workers=False)
    rows = rows_of(tmp_path / "out")
    failed = rows[rows.error.notna()]

    assert 5 * 8 == len(rows)
    assert {"broken.png"} == set(failed.image)
    assert 8 == len(failed)
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert {4} == set(summary.images)


@pytest.fixture
def dask_cluster(
    tmp_path: Path, plugin: Path
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A real scheduler and two real workers, as a user starts them."""
    pytest.importorskip("distributed")
    where = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    base = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(where), "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*base, "scheduler", *common, "--host", "127.0.0.1", "--port", "0"], **quiet
    )
    worker = [*base, "worker", *common, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1"]
    workers = [subprocess.Popen(worker, **quiet) for _ in range(2)]
    for _ in range(300):
        if where.exists() and where.stat().st_size:
            break
        time.sleep(0.1)
    yield json.loads(where.read_text())["address"], workers
    for process in [*workers, scheduler]:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_dask_cluster_with_a_worker_killed(
    dask_cluster, crops: Path, tmp_path: Path, run_bench: Bench
):
    """Two workers, one killed in mid-run: results are complete and equal to a local run."""
    address, workers = dask_cluster
    command = words(crops, tmp_path / "dask", "faulty:fault=slow", "jpeg")
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, command), "--scheduler", address, "-j", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        while len(stored(tmp_path / "dask")) < 4 and run.poll() is None:
            time.sleep(0.05)
        os.kill(workers[0].pid, signal.SIGKILL)
        text = run.communicate(timeout=300)[0]
    run_bench(*words(crops, tmp_path / "local", "faulty:fault=slow", "jpeg"))
    dask, local = rows_of(tmp_path / "dask"), rows_of(tmp_path / "local")

    assert 0 == run.returncode, text
    assert dask.error.isna().all()
    pd.testing.assert_frame_equal(local[NUMBERS], dask[NUMBERS])


def test_no_scheduler_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    """An address where nothing listens is one line, after Dask gave it some seconds."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT", "0.2s")
    with pytest.raises(UsageError) as caught:
        cluster.dask_pool("tcp://127.0.0.1:9")

    assert "no Dask scheduler answers at tcp://127.0.0.1:9 (OSError)" == caught.value.what
    assert 1 == len(str(caught.value).splitlines())


def test_the_collector_looks_at_everything_after_a_run(crops: Path, tmp_path: Path):
    """Garbage of whoever calls is not kept for ever; what a process froze itself stays so."""
    words = {"quality": [50], "out": tmp_path}
    gc.unfreeze()
    run([f"folder:{crops}"], ["jpeg"], ["bpp"], **words)
    after = gc.get_freeze_count()
    gc.freeze()
    run([f"folder:{crops}"], ["webp"], ["bpp"], **words)
    frozen = gc.get_freeze_count()
    gc.unfreeze()

    assert not after
    assert frozen


def test_workers_have_images_of_their_own():
    """As many images in turn as there are workers; code of one group stands together."""

    class Wish(NamedTuple):
        group: str
        near: str

    asked = [Wish(group, near) for near in "abc" for group in ("", "x") for _ in range(2)]
    given = executor._ordered(cast("list[Task]", asked), 2)

    assert "ababcc" * 2 == "".join(wish.near for wish in given)
    assert ["", "x"] == list(dict.fromkeys(wish.group for wish in given))
    assert sorted(asked) == sorted(cast("list[Wish]", given))


def test_a_process_goes_on_with_its_picture():
    """Its own picture first, then one that no other process has, and at the end any."""
    two_of_them = object.__new__(LocalPool)  # without processes and the thread that sees to them
    one, two = two_of_them._slots = [Slot(""), Slot("")]
    two_of_them._seconds = Times()
    two_of_them._waiting = Waiting()
    two_of_them._waiting.add(Call(Future(), b"", "", near) for near in "ab" * 20 + "c")
    two.near, two.calls = "a", [Call(Future(), b"", "", "a")]
    taken = []
    while two_of_them._waiting:
        one.near = two_of_them._several(one)[0].near
        taken.append(one.near)

    assert 20 * ["b"] + ["c"] + 20 * ["a"] == taken
