"""bench.image: what is written is lossless, whole or absent, and says why it could not be."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import files, image
from bench.errors import OutputError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".bmp", ".tif", ".TIFF"])
def test_save_is_lossless(suffix: str, tmp_path: Path) -> None:
    """What is saved is loaded again, sample for sample, also from a view."""
    image.save(RGB[::2, ::-1], tmp_path / f"a{suffix}")

    np.testing.assert_array_equal(RGB[::2, ::-1], image.load(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.webp"])
def test_save_refuses_lossy_suffixes(name: str, tmp_path: Path) -> None:
    """A suffix that would lose information writes nothing."""
    with pytest.raises(OutputError, match="wanted a lossless suffix"):
        image.save(RGB, tmp_path / name)

    assert [] == list(tmp_path.iterdir())


def test_write_respects_umask_and_links(tmp_path: Path) -> None:
    """The new file has the usual permissions, and a link goes on being one."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    old = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "link", b"new")
    finally:
        os.umask(old)

    assert (tmp_path / "link").is_symlink()
    assert b"new" == (tmp_path / "real").read_bytes()
    assert 0o640 == (tmp_path / "real").stat().st_mode & 0o777
    assert ["link", "real"] == sorted(path.name for path in tmp_path.iterdir())


def test_write_never_replaces_a_pipe(tmp_path: Path) -> None:
    """What is written to a pipe goes through it; no file takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_atomically(pipe, b"data")

        assert b"data" == os.read(reader, 10)
        assert pipe.is_fifo()
    finally:
        os.close(reader)


def test_write_never_replaces_a_device(tmp_path: Path) -> None:
    """A full device says so and remains a device."""
    # A device of our own: were the rule broken, root would lose the machine's /dev/full.
    full = tmp_path / "full"
    try:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        full.open("rb").close()
    except PermissionError:
        pytest.skip("needs to be root on a disk that allows devices")
    with pytest.raises(OutputError, match=r"No space left on device.*make room"):
        files.write_atomically(full, b"data")

    assert full.is_char_device()


def test_write_refuses_impossible_places(tmp_path: Path) -> None:
    """A missing folder, a file for a folder, a folder for a file and a read-only place say so."""
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "folder").mkdir()

    for path, told in {
        tmp_path / "absent" / "a.png": "No such file.*Make the folder .*absent first",
        tmp_path / "file" / "a.png": "Not a directory.*Make the folder",
        tmp_path / "folder": "Is a directory.*another folder",
        Path("/proc/a.png"): "cannot write /proc/a.png",
    }.items():
        with pytest.raises(OutputError, match=told):
            files.write_atomically(path, b"data")

    assert ["file", "folder"] == sorted(path.name for path in tmp_path.iterdir())
    assert b"kept" == (tmp_path / "file").read_bytes()


def test_write_on_a_full_disk(tmp_path: Path) -> None:
    """Where the system stops a write half-way, the old file stays and no part is left."""
    target = tmp_path / "a.bin"
    files.write_atomically(target, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="nothing was written there"):
            files.write_atomically(target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert b"old" == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())


def test_write_on_a_small_disk(tmp_path: Path) -> None:
    """A disk that is really full says so, and keeps what it had."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs to be root and to mount a tmpfs")
    try:
        files.write_atomically(tmp_path / "a.bin", b"old")
        with pytest.raises(OutputError, match=r"No space left on device.*The disk is full"):
            files.write_atomically(tmp_path / "a.bin", bytes(1 << 20))

        assert b"old" == (tmp_path / "a.bin").read_bytes()
        assert ["a.bin"] == [path.name for path in tmp_path.iterdir()]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("moment", ["write", "replace"])
def test_kill_while_writing(moment: str, tmp_path: Path) -> None:
    """A kill before or after the bytes are down leaves the old file whole."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    script = f"""
import io, os, pathlib, signal
from bench import files, image
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if {moment!r} == "replace":
    pathlib.Path.replace = die
else:
    plain = pathlib.Path.open
    def opened(self, *words):
        file = plain(self, *words)
        file.write(bytes(100_000)); file.flush()
        die()
    pathlib.Path.open = opened
files.write_atomically(pathlib.Path({str(target)!r}), bytes(200_000))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert -signal.SIGKILL == done.returncode
    assert b"old" == target.read_bytes()
    assert 2 == len(list(tmp_path.iterdir()))  # the part is there, hidden, under its own name
    assert 1 == len(list(tmp_path.glob(".*.part")))
