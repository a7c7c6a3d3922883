"""``bench list`` and ``bench info``: what matters first, at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import image, registry
from bench.cli import files
from bench.codec import Codec
from bench.errors import suggest


def test_usable_codecs_come_first_and_the_others_in_one_line(bench):
    """Those of the default run lead; what is unavailable is named together, without reasons."""
    known = json.loads(bench("list", "--json").stdout)["codecs"]
    lines = bench("list").stdout.partition("datasets")[0].strip().splitlines()[1:]
    usable = [c for c in known if c["available"] == "yes"]
    absent = [c["name"] for c in known if c["available"] == "no"]
    first = sum(c["default"] for c in usable)

    assert len(usable) + bool(absent) == len(lines)
    assert all(line.startswith("*") for line in lines[:first])
    assert not any(line.startswith("*") for line in lines[first:])
    assert not absent or lines[-1].endswith(": " + ", ".join(absent))


def test_verbose_lists_every_reason(bench):
    """What was left out of the short list is there."""
    known = json.loads(bench("list", "--json").stdout)["codecs"]
    told = bench("list", "--verbose").stdout

    assert all(c["reason"] in told for c in known if c["available"] == "no")
    assert all(c["note"] in told for c in known if c["available"] == "yes")


def test_a_mistyped_data_dir_is_no_empty_list(bench):
    """It would say that no image is available."""
    assert "--data-dir: there is no folder absent" in bench("list", "--data-dir", "absent").line


def test_info_decodes_only_when_asked(bench, tmp_path: Path, photo, monkeypatch):
    """Where only decoding tells the parts, the header answers; --parts decodes."""
    monkeypatch.setattr(registry.create("null").__class__, "ledger_decodes", True)
    asked: list[bytes] = []

    def ledger(self: Codec, data: bytes) -> dict[str, int]:
        asked.append(data)
        return {"payload": len(data)}

    monkeypatch.setattr(registry.create("null").__class__, "ledger", ledger)
    image.save(photo[:40, :48], tmp_path / "in.png")
    bench("encode", tmp_path / "in.png", tmp_path / "x.bin", "-c", "null")
    short = bench("info", tmp_path / "x.bin", "-c", "null")

    assert (0, []) == (short.code, asked)
    assert "bench info --parts" in short.stdout
    assert "payload" in bench("info", "--parts", tmp_path / "x.bin", "-c", "null").stdout
    assert 1 == len(asked)


def test_info_of_agvae_imports_no_torch(bench, monkeypatch):
    """The header of its files is read without a network."""
    monkeypatch.setitem(sys.modules, "torch", None)  # an import would raise
    golden = Path(__file__).parents[1] / "codecs" / "agvae" / "golden" / "formula.agv"
    done = bench("info", golden)

    assert (0, "") == (done.code, done.stderr)
    assert f"agvae, {golden.stat().st_size} bytes" in done.stdout
    assert "RGB 8-bit" in done.stdout


@pytest.mark.parametrize(
    ("command", "target"),
    [("encode", "absent/out.jpg"), ("decode", "absent/out.png"), ("encode", "in.png/out.jpg")],
)
def test_an_output_that_cannot_be_written_costs_no_work(
    bench, tmp_path: Path, photo, monkeypatch, command: str, target: str
):
    """It is refused before anything is encoded or decoded."""
    image.save(photo[:40, :48], tmp_path / "in.png")
    bench("encode", tmp_path / "in.png", tmp_path / "good.jpg")
    source = tmp_path / ("in.png" if command == "encode" else "good.jpg")
    monkeypatch.setattr(registry, "create", lambda *_: pytest.fail("a codec was made"))

    assert "cannot write" in bench(command, source, tmp_path / target).line


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("nope", ["bpg", "jpeg", "null", "webp"], ""),
        ("jpge", ["bpg", "jpeg"], "jpeg"),
        ("jpg", ["bpg", "jpeg"], "jpeg"),
        ("pnsr", ["psnr", "ms_ssim"], "psnr"),
        ("bogus", ["bpg", "jpeg"], ""),
    ],
)
def test_a_suggestion_is_near(word: str, known: list[str], near: str):
    """Two letters in common are no likeness."""
    assert suggest(word, known).startswith(f"Did you mean {near}? " if near else "Known: ")


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jxl", "bpg", "agvae"])
def test_a_suffix_means_the_codec_and_no_program_for_its_files(name: str):
    """``cjpeg`` and ``cwebp`` write the same files; they are meant where they are named."""
    found = registry.discover()[name]
    if found.cls is None:
        pytest.skip(found.reason)

    assert name == files._by_suffix(Path(f"photo{found.cls.suffix}"))


@pytest.mark.parametrize("bpp", ["inf", "nan", "0", "-1"])
def test_a_rate_that_is_none_is_told(bench, tmp_path: Path, photo, bpp: str):
    """An infinite rate is no fault of ours."""
    image.save(photo[:40, :48], tmp_path / "in.png")

    said = bench("encode", tmp_path / "in.png", tmp_path / "x.jpg", "--bpp", bpp).line
    assert "--bpp must be positive and finite" in said
