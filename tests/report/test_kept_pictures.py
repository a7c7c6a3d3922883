"""The page takes what the run kept of decoding with networks, and shows what it would without."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from forkserver import Here

import bench
from bench import image, registry
from bench.errors import OutputError
from bench.measurement import kept
from bench.measurement.kept import Kept, Place
from bench.measurement.rows import records
from bench.report import Options, image_viewer, write
from bench.report.results import Bitstreams


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this file's tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(path))
        patch.setattr(image_viewer, "_QUICK_S", 0.0)  # no file of an equal rate is made
        yield path


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory, photo) -> bench.Results:
    """A run of a small network and JPEG on two small photographs."""
    base = tmp_path_factory.mktemp("run")
    for name, crop in (("face", photo[:64, :80]), ("fur", photo[90:154, 200:280])):
        image.save(crop, base / f"{name}.png")
    how = {"metrics": ["psnr"], "points": 3, "jobs": 1, "make_executor": Here}
    return bench.run([f"folder:{base}"], ["jpeg", "agvae-small"], out=base / "out", **how)


@pytest.fixture(scope="module")
def page(run: bench.Results) -> Callable[[], str]:
    """Return a function that writes the page and returns its text."""

    def text() -> str:
        path = run.folder / "report.html"
        done = write(run.folder, path, Options(rates=(0.3, 1.0)))
        assert [] == list(done.left_out)
        return path.read_text(encoding="utf-8")

    return text


@pytest.fixture(scope="module")
def decoded(run: bench.Results, page: Callable[[], str]) -> str:
    """The page where nothing is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(kept.LIMIT, "0")
        return page()


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the network decodes from now on: hashes of files."""
    found: list[str] = []
    cls = registry.discover()["agvae-small"].cls
    decode = cls.decode

    def watched(self, data):
        found.append(hashlib.sha256(data).hexdigest())
        return decode(self, data)

    monkeypatch.setattr(cls, "decode", watched)
    return found


def test_nothing_is_decoded_twice(run, page, decoded: str, decodes: list[str]):
    """Not for pictures, not for the ledger of bytes; the page is the same, byte for byte."""
    network = run.rows[run.rows["codec"] == "agvae-small"]

    assert len(network) == len(list(kept.folder().iterdir()))
    assert decoded == page()
    assert [] == decodes


def other_pixels(place: Place, data: bytes, found: Kept) -> None:
    """Keep a picture that looks right, with all its hashes, of which not one sample is."""
    place.put(data, found.pixels ^ 1, found.ledger)


def other_size(place: Place, data: bytes, found: Kept) -> None:
    """Keep a part of the picture."""
    place.put(data, found.pixels[:-1], found.ledger)


def other_ledger(place: Place, data: bytes, found: Kept) -> None:
    """Keep parts that are not those of a file of this size, and spoil the picture too."""
    place.put(data, found.pixels[::-1], {"header": 1})


def half(place: Place, data: bytes, _: Kept) -> None:
    """Leave what a full disk or a killed process may."""
    path = place.path(hashlib.sha256(data).hexdigest())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_the_next(place: Place, data: bytes, _: Kept) -> None:
    """Put another file's picture in its place."""
    paths = sorted(Path(place.folder).iterdir())
    path = place.path(hashlib.sha256(data).hexdigest())
    path.write_bytes(paths[paths.index(path) - 1].read_bytes())


@pytest.fixture
def restored() -> Iterator[None]:
    """Bring back what is kept."""
    before = {path: path.read_bytes() for path in kept.folder().iterdir()}
    yield
    for path, data in before.items():
        path.write_bytes(data)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("spoil", [other_pixels, other_size, other_ledger, half, of_the_next])
def test_what_is_not_the_files_picture_is_not_shown(
    run, page, decoded: str, decodes: list[str], spoil: Callable[[Place, bytes, Kept], None]
):
    """The file is decoded instead, and the page is the one without anything kept."""
    streams = Bitstreams(run, run.original)
    rows = records(run.rows[run.rows["codec"] == "agvae-small"])
    place = kept.place_of(registry.create("agvae-small"))
    for row in rows:
        found = place.get(row["bitstream_sha256"], (64, 80, 3))
        spoil(place, streams.get(row), found or Kept(np.zeros((64, 80, 3), np.uint8), {}))

    assert decoded == page()
    assert decodes


def test_another_program_decodes_for_itself(
    page, decoded: str, decodes: list[str], monkeypatch: pytest.MonkeyPatch
):
    """What was kept before the code or a library changed is not taken."""
    monkeypatch.setattr(kept, "_program", lambda: "changed since")

    assert decoded == page()
    assert decodes


def test_a_kept_picture_does_not_stand_for_a_damaged_file(run, tmp_path: Path):
    """A stored file that lost its hash has no picture, whatever was kept of it."""
    shutil.copy(run.folder / "bench.sqlite", tmp_path)
    network = run.rows[run.rows["codec"] == "agvae-small"]
    with closing(sqlite3.connect(tmp_path / "bench.sqlite")) as db, db:
        for digest in network["bitstream_sha256"]:
            db.execute("UPDATE bitstreams SET data = X'00' WHERE sha256 = ?", (digest,))
    streams = Bitstreams(bench.load_results(tmp_path), run.original)
    row = records(network)[0]

    with pytest.raises(OutputError, match="wanted sha256"):
        streams.kept(row, run.original(row["dataset"], row["image"]))
    with pytest.raises(OutputError, match="wanted sha256"):
        streams.ledger(row)
