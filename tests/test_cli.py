"""The command as a user meets it: files in and out, one-line errors, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def picture(tmp_path: Path, photo) -> Path:
    """A small photograph on disk."""
    path = tmp_path / "photo.png"
    image.save(photo[:120, :160], path)
    return path


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a refusal, after checking that it is one."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("bench: ")
    return lines[0]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".bpg"])
def test_encode_and_decode_by_suffix(suffix: str, picture: Path, tmp_path: Path, run_bench: Bench):
    """A file goes out and comes back; the codec is chosen by suffix and by first bytes."""
    coded, back = tmp_path / f"photo{suffix}", tmp_path / "back.png"
    said = run_bench("encode", picture, coded).stdout
    run_bench("decode", coded, back)
    original, decoded = image.load(picture).astype(float), image.load(back).astype(float)

    assert f"{coded.stat().st_size} bytes" in said
    assert 10 * np.log10(255**2 / np.mean((original - decoded) ** 2)) > 25


def test_target_rate(picture: Path, tmp_path: Path, run_bench: Bench):
    """--bpp chooses the quality whose file is nearest."""
    target = tmp_path / "photo.webp"
    run_bench("encode", picture, target, "--bpp", "1.0")

    assert 0.9 < 8 * target.stat().st_size / (120 * 160) < 1.1


def test_info_shows_every_byte(picture: Path, tmp_path: Path, run_bench: Bench):
    """The parts of a file add up to its size."""
    target = tmp_path / "photo.jpg"
    run_bench("encode", picture, target)
    lines = run_bench("info", target).stdout.splitlines()
    sizes = [int(line.split()[1]) for line in lines[1:]]

    assert target.stat().st_size == sum(sizes)


def test_agvae_by_command(picture: Path, tmp_path: Path, run_bench: Bench):
    """To a rate within 1 %, back by its first bytes, every byte of header, z and passes told."""
    target = tmp_path / "photo.agv"
    run_bench("encode", picture, target, "--codec", "agvae", "--bpp", 0.8)
    run_bench("decode", target, tmp_path / "back.png")
    told = run_bench("info", "--parts", target).stdout
    found = re.findall(r"^  (.+?) +(\d+) bytes +[\d.]+%$", told, re.MULTILINE)
    sizes = {name: int(size) for name, size in found}

    assert pytest.approx(0.8, rel=0.01) == 8 * target.stat().st_size / (120 * 160)
    assert image.load(picture).shape == image.load(tmp_path / "back.png").shape
    assert ["header", "z", *(f"pass {i}" for i in range(4)), "checksum"] == list(sizes)
    assert target.stat().st_size == sum(sizes.values())


def test_list_names_everything(run_bench: Bench):
    """Codecs, datasets and metrics are listed, with reasons where one is unavailable."""
    listed = json.loads(run_bench("list", "--json").stdout)
    codecs = {entry["name"]: entry for entry in listed["codecs"]}

    assert {"jpeg", "webp", "avif", "bpg", "null", "jpeg2000", "jxl"} <= set(codecs)
    assert all(e.get("reason") for e in codecs.values() if e["available"] == "no")
    assert {"kodak", "sample", "clic2020-mobile"} <= {e["name"] for e in listed["datasets"]}
    assert {"psnr", "ms_ssim", "bpp"} <= {e["name"] for e in listed["metrics"]}


def test_list_verbose_shows_ceilings(run_bench: Bench):
    """Each adapter's no-codec ceiling and parameters are printed."""
    text = run_bench("list", "--verbose").stdout

    assert text.count("no-codec ceiling") >= 5
    ceilings = {
        block.lstrip("* ").split()[0]: block.partition("no-codec ceiling ")[2].splitlines()[0]
        for block in re.split(r"\n(?=[* ] \S)", text)
        if "no-codec ceiling " in block
    }
    assert "none (its colour conversion loses nothing)" == ceilings["null"]
    assert re.fullmatch(r"3\d\.\d+ dB", ceilings["jpeg"])
    assert "subsampling: chroma format (one of 4:2:0, 4:4:4; default 4:2:0)" in text


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Make files that cannot be measured: name -> (path, what the error must say)."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 4), np.uint8)
    PILImage.fromarray(noise[..., :3]).save(folder / "whole.png")
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:5000])
    (folder / "text.png").write_text("this is not an image")
    (folder / "empty.png").write_bytes(b"")
    PILImage.fromarray(noise).save(folder / "alpha.png")
    PILImage.fromarray(noise, "CMYK").save(folder / "cmyk.jpg")
    PILImage.fromarray(noise[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    said = {
        "truncated.png": "truncated",
        "text.png": "not an image",
        "empty.png": "not an image",
        "alpha.png": "transparent",
        "cmyk.jpg": "CMYK",
        "deep.png": "8 bits",
        "missing.png": "no such file",
    }
    return {name: (folder / name, words) for name, words in said.items()}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize(
    "name",
    ["truncated.png", "text.png", "empty.png", "alpha.png", "cmyk.jpg", "deep.png", "missing.png"],
)
def test_bad_image_is_one_line(name: str, tmp_path: Path, run_bench: Bench):
    """What cannot be measured is refused in one line; nothing is written."""
    path, words = bad_files(tmp_path)[name]
    line = refused(run_bench("encode", path, tmp_path / "out.jpg", check=False))

    assert words in line
    assert str(path) in line
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_equivalent_modes_are_converted(mode: str, photo, tmp_path: Path, run_bench: Bench):
    """Gray, palette and opaque alpha carry the same picture as RGB and are measured as such."""
    PILImage.fromarray(photo[:64, :64]).convert(mode).save(tmp_path / "in.png")
    run_bench("encode", tmp_path / "in.png", tmp_path / "out.webp")
    run_bench("decode", tmp_path / "out.webp", tmp_path / "back.png")

    assert image.load(tmp_path / "back.png").shape == (64, 64, 3)


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif", "bpg"])
def test_one_pixel(codec: str, tmp_path: Path, run_bench: Bench):
    """The smallest image there is goes through every codec."""
    image.save(np.full((1, 1, 3), 200, np.uint8), tmp_path / "dot.png")
    run_bench("encode", tmp_path / "dot.png", tmp_path / "dot.bin", "--codec", codec)
    run_bench("decode", tmp_path / "dot.bin", tmp_path / "back.png")

    assert image.load(tmp_path / "back.png").shape == (1, 1, 3)


def test_too_wide_for_a_format(tmp_path: Path, run_bench: Bench):
    """WebP holds 16383 pixels a side; JPEG takes the same image."""
    wide = np.tile(np.arange(20_000, dtype=np.uint8)[None, :, None], (8, 1, 3))
    image.save(wide, tmp_path / "wide.png")
    line = refused(run_bench("encode", tmp_path / "wide.png", tmp_path / "wide.webp", check=False))
    run_bench("encode", tmp_path / "wide.png", tmp_path / "wide.jpg")

    assert "at most 16383 pixels a side, found 20000x8" in line
    assert not (tmp_path / "wide.webp").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["encode", "P", "O.jpg", "--codec", "jpge"], "Did you mean jpeg?"),
        (["encode", "P", "O.jpg", "--codec", "jpeg:qualty=5"], "Did you mean quality?"),
        (["encode", "P", "O.jpg", "--quality", "400"], "from 1 to 100, found 400"),
        (["encode", "P", "O.xyz"], "no codec writes .xyz"),
        (["encode", "P", "O.jpg", "--quality", "5", "--bpp", "1"], "exclude each other"),
        (["encode", "P", "absent/O.jpg"], "cannot write"),
        (["decode", "P", "O.png"], "not a file of any codec"),
        (["decode", "P", "O.png", "--codec", "bpg"], "BPG"),
        (["decode", "absent.jpg", "O.png"], "cannot read"),
        (["all", "--dataset", "kodka"], "Did you mean kodak?"),
        (["all", "--dataset", "folder:absent"], "absent"),
        (["all", "--dataset", "sample", "--codec", "jpeg", "--metric", "pnsr"], "unknown metric"),
        (["all", "--dataset", "sample", "--codec", "jpeg", "--quality", "a,b"], "wants numbers"),
        (["all", "--dataset", "sample", "--image", "nobody.png"], "nobody.png"),
        (["all", "--dataset", "sample", "--device", "tpu"], "cpu or cuda"),
        (["all", "--dataset", "sample", "--codec", "jpeg", "--points", "0"], "--points"),
        (["tables", "--out", "absent"], "Run `bench all`."),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, picture: Path, tmp_path: Path, run_bench: Bench
):
    """A mistake is told in one line that says what to do; no file appears."""
    named = {"P": str(picture)}
    typed = [
        named.get(word) or (str(tmp_path / word) if word.startswith("O.") else word)
        for word in words
    ]
    before = set(tmp_path.rglob("*"))
    line = refused(run_bench(*typed, check=False, cwd=tmp_path))

    assert said in line
    assert {p for p in set(tmp_path.rglob("*")) - before if p.is_file()} <= {
        tmp_path / "results/run/.lock",
        *(tmp_path / "results/run").glob("bench.sqlite*"),
    }


def test_output_folder_that_cannot_be_written(picture: Path, tmp_path: Path, run_bench: Bench):
    """A run whose folder cannot be made is refused before anything is measured."""
    (tmp_path / "file").write_text("in the way")
    command = ["all", "--dataset", f"folder:{tmp_path}", "--codec", "jpeg", "--metric", "psnr"]

    line = refused(run_bench(*command, "--out", tmp_path / "file" / "out", check=False))
    assert "cannot write results" in line
    line = refused(run_bench(*command, "--out", "/proc/nowhere", check=False))
    assert "cannot write results" in line


def test_full_disk(photo, tmp_path: Path, run_bench: Bench):
    """A disk that fills up ends the run in one line; what was stored before is intact."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a small disk here (needs root)")
    try:
        folder = tmp_path / "images"
        folder.mkdir()
        image.save(photo, folder / "photo.png")
        command = ["all", "--dataset", f"folder:{folder}", "--codec", "jpeg", "--codec", "null"]
        done = run_bench(
            *command, "--metric", "psnr", "--out", small / "run", "-j", "1", check=False
        )
        stored = run_bench("tables", "--out", small / "run", check=False)

        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "disk" in done.stderr.lower() or "space" in done.stderr.lower()
        assert "Traceback" not in stored.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_missing_symlinks_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A checkout that lost its symbolic links says so."""
    from bench import registry
    from bench.errors import UsageError

    monkeypatch.setattr(registry, "_FOLDER", tmp_path / "codecs")
    registry.discover.cache_clear()
    with pytest.raises(UsageError, match="lost its symbolic links"):
        registry.discover()
    registry.discover.cache_clear()
