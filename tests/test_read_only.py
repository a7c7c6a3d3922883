"""Folders that cannot be written: refused in one line as output, and as good as any as input."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import image
from bench.measurement.store import Store

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder, and a function that makes it read-only; a disk for root, who may write anywhere."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        yield folder, lambda: folder.chmod(0o555)
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("root writes everywhere, and cannot mount a disk here")
    lock = ["mount", "-o", "remount,ro", str(folder)]
    yield folder, lambda: subprocess.run(lock, check=True) and None
    subprocess.run(["umount", str(folder)], check=True)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a refusal."""
    assert 2 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_output_is_refused_before_anything_is_measured(disk, crops, tmp_path, run_bench: Bench):
    """A run, an encode and a decode into a read-only folder are one line and leave nothing."""
    folder, lock = disk
    lock()
    image.save(image.load(crops / "crop0.png"), tmp_path / "in.png")
    run_bench("encode", tmp_path / "in.png", tmp_path / "in.jpg")
    words = ["all", "-d", f"folder:{crops}", "-c", "jpeg", "-m", "psnr", "--points", 1]
    for out in (folder, folder / "run"):
        line = refused(run_bench(*words, "--out", out, check=False))

        assert f"bench: cannot write results to {out}" in line
        assert "Choose another --out" in line
    for command in (("encode", "in.png", "out.jpg"), ("decode", "in.jpg", "out.png")):
        word, source, target = command
        line = refused(run_bench(word, tmp_path / source, folder / target, check=False))

        assert f"bench: cannot write {folder / target}" in line
        assert "Choose another folder" in line
    assert [] == list(folder.iterdir())


def test_stored_results_are_read(disk, crops, tmp_path, run_bench: Bench):
    """Report and gate read results that they cannot write beside; `bench tables` says so."""
    folder, lock = disk
    words = ["all", "-d", f"folder:{crops}", "-c", "jpeg", "-m", "psnr", "--points", 4, "-j", 1]
    run_bench(*words, "--out", folder / "run", workers=False)
    files = set(folder.rglob("*"))
    lock()
    run_bench("report", "--out", folder / "run", "--html", tmp_path / "page.html")
    said = run_bench("check", "-b", folder / "run", "--against", folder / "run").stdout
    line = refused(run_bench("tables", "--out", folder / "run", check=False))

    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert "OK: 1 of 1 curves have identical bytes" in said
    assert "bench: cannot write" in line
    assert files == set(folder.rglob("*"))


def test_what_a_killed_writer_left_is_not_ignored(disk, crops, run_bench: Bench):
    """Rows that are not in the main file yet are read, or the reader is told that it cannot."""
    folder, lock = disk
    words = ["all", "-d", f"folder:{crops}", "-c", "jpeg", "-m", "psnr", "--points", 4, "-j", 1]
    run_bench(*words, "--out", folder / "run", workers=False)
    before = (folder / "run" / "bench.sqlite").read_bytes()
    with Store(folder / "run") as store:
        store.start_run({"commit": "later"})
        main, log = (
            (folder / "run" / name).read_bytes() for name in ("bench.sqlite", "bench.sqlite-wal")
        )
    assert before == main
    (folder / "run" / "bench.sqlite").write_bytes(main)
    (folder / "run" / "bench.sqlite-wal").write_bytes(log)
    lock()
    done = run_bench("report", "--out", folder / "run", check=False)

    assert f"bench: cannot read {folder / 'run' / 'bench.sqlite'}" in refused(done)
