"""``bench encode``, ``decode`` and ``info`` with odd inputs and outputs: one line, exit code 2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import image

Bench = Callable[..., subprocess.CompletedProcess[str]]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a refusal, after checking that it is one."""
    lines = done.stderr.strip().splitlines()
    assert (2, 1) == (done.returncode, len(lines)), done.stderr
    assert lines[0].startswith("bench: ")
    return lines[0]


@pytest.fixture
def picture(photo, tmp_path: Path) -> Path:
    """A small picture as a file."""
    path = tmp_path / "photo.png"
    image.save(np.ascontiguousarray(photo[:40, :48]), path)
    return path


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Inputs that are no files to read."""
    found = {name: tmp_path / f"{name}.jpg" for name in ("folder", "fifo", "empty", "loop")}
    found["folder"].mkdir()
    os.mkfifo(found["fifo"])
    found["empty"].touch()
    found["loop"].symlink_to(found["loop"])
    return found | {"device": Path("/dev/zero"), "absent": tmp_path / "absent.jpg"}


ODD = {
    "folder": "a folder",
    "fifo": "not a regular file",
    "device": "not a regular file",
    "empty": "empty",
    "loop": "Too many levels",
    "absent": "No such file",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("word", ["decode --codec jpeg", "info"])
def test_odd_compressed_files(word: str, kind: str, odd, tmp_path: Path, run_bench: Bench) -> None:
    """What is no file with content is named, at once; a pipe or a device is not read from."""
    command, *more = word.split()
    target = [tmp_path / "out.png"] if command == "decode" else []
    line = refused(run_bench(command, odd[kind], *target, *more, check=False))

    assert ODD[kind] in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("kind", ODD)
def test_odd_originals(kind: str, odd, tmp_path: Path, run_bench: Bench) -> None:
    """The same for an original."""
    refused(run_bench("encode", odd[kind], tmp_path / "out.webp", check=False))

    assert not (tmp_path / "out.webp").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("folder", "it is a folder"), ("fifo", "not a regular file"), ("loop", "cannot write")],
)
def test_odd_outputs(kind, said, odd, picture: Path, tmp_path: Path, run_bench: Bench) -> None:
    """An output that no file can take the place of is refused before any work."""
    target = odd[kind]
    assert said in refused(run_bench("encode", picture, target, check=False))
    run_bench("encode", picture, tmp_path / "good.jpg")
    png = target.rename(target.with_suffix(".png")) if kind != "loop" else target
    if kind != "loop":
        assert said in refused(run_bench("decode", tmp_path / "good.jpg", png, check=False))


def test_output_that_is_the_input(picture: Path, tmp_path: Path, run_bench: Bench) -> None:
    """The original and the compressed file are never written over by what is made of them."""
    before = picture.read_bytes()
    (tmp_path / "link.png").symlink_to(picture)
    for target in (picture, tmp_path / "link.png"):
        line = refused(run_bench("encode", picture, target, "-c", "jpeg", check=False))
        assert "it is the input" in line
    assert before == picture.read_bytes()


def test_output_that_exists_is_replaced(picture: Path, tmp_path: Path, run_bench: Bench) -> None:
    """A regular file is replaced as a whole."""
    target = tmp_path / "out.jpg"
    target.write_bytes(b"old")
    run_bench("encode", picture, target)
    run_bench("decode", target, tmp_path / "back.png")

    assert (40, 48, 3) == image.load(tmp_path / "back.png").shape


@pytest.mark.parametrize("name", ["out", "out.jpg", ".png"])
def test_output_without_lossless_suffix(name, picture, tmp_path: Path, run_bench: Bench) -> None:
    """A picture is not written under a name that says nothing, or something lossy."""
    run_bench("encode", picture, tmp_path / "in.webp")
    line = refused(run_bench("decode", tmp_path / "in.webp", tmp_path / name, check=False))

    assert "wanted a lossless suffix" in line


def test_deep_bpg_is_rounded_only_on_request(picture, tmp_path: Path, run_bench: Bench) -> None:
    """A 10-bit BPG is deeper than the picture that is written: that is said, or asked for."""
    coded, back = tmp_path / "deep.bpg", tmp_path / "back.png"
    run_bench("encode", picture, coded, "-c", "bpg:depth=10")
    line = refused(run_bench("decode", coded, back, check=False))
    run_bench("decode", coded, back, "-c", "bpg:depth=10")

    assert "deeper than 8 bits: bpg codes 10 bits" in line
    assert "--codec bpg:depth=10" in line
    assert (40, 48, 3) == image.load(back).shape


def test_the_bound_of_every_command(picture, tmp_path: Path, run_bench: Bench) -> None:
    """--max-megapixels stands before or behind the command; a wrong one is one line."""
    bound = ["--max-megapixels", "0.001"]
    run_bench("encode", picture, tmp_path / "a.jpg")
    for words in (
        [*bound, "encode", picture, tmp_path / "b.jpg"],
        ["encode", *bound, picture, tmp_path / "b.jpg"],
        ["decode", tmp_path / "a.jpg", tmp_path / "b.png", "--max-megapixels=0.001"],
    ):
        assert "max-megapixels" in refused(run_bench(*words, check=False))
    for wrong in (["--max-megapixels", "many"], ["--max-megapixels"], ["--max-megapixels=0"]):
        assert (
            "wants a number" in (line := refused(run_bench("list", *wrong, check=False)))
            or "wanted a number" in line
        )


def test_info_reads_headers_only(tmp_path: Path, run_bench: Bench) -> None:
    """Where the header says it all, data that do not decode do not matter."""
    image.save(np.full((64, 64, 3), 90, np.uint8), tmp_path / "in.png")
    for suffix in ("bpg", "avif", "webp"):
        path = tmp_path / f"x.{suffix}"
        run_bench("encode", tmp_path / "in.png", path)
        data = bytearray(path.read_bytes())
        data[-3:] = b"\xff\xff\xff"
        path.write_bytes(data)
        assert f"{len(data)} bytes" in run_bench("info", path).stdout
