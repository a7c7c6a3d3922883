"""Decoded pictures that a run keeps: found again whole and by their own decoder, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import registry
from bench.errors import CodecFailed
from bench.image import Image
from bench.measurement import decoder, kept, worker
from bench.measurement.encoding import Cell
from bench.measurement.kept import Place

DATA = b"a compressed file"
FILE = hashlib.sha256(DATA).hexdigest()
LEDGER = {"header": 7, "z": 10}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(kept.LIMIT, raising=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where one decoder's pictures are kept."""
    return Place(str(tmp_path), "decoder")


@pytest.fixture
def pixels(rng: np.random.Generator) -> Image:
    """A small picture."""
    return rng.integers(0, 255, (24, 40, 3), dtype=np.uint8)


def test_a_kept_picture_is_the_decoded_one(place: Place, pixels: Image):
    """Each pixel, and what the bytes are for."""
    place.put(DATA, pixels, LEDGER)
    found = place.get(FILE, pixels.shape)

    assert found is not None
    assert np.array_equal(pixels, found.pixels)
    assert LEDGER == found.ledger
    assert LEDGER == place.ledger(FILE, len(DATA))
    assert None is place.ledger(FILE, len(DATA) + 1)
    assert [place.path(FILE)] == list(Path(place.folder).iterdir())


def test_another_decoder_file_or_size_finds_nothing(place: Place, pixels: Image):
    """Neither the same file by other weights, nor another file, nor a picture of another size."""
    place.put(DATA, pixels, LEDGER)
    other, file = Place(place.folder, "other weights"), hashlib.sha256(b"other").hexdigest()

    assert None is other.get(FILE, pixels.shape)
    assert None is place.get(file, pixels.shape)
    assert None is place.get(FILE, (40, 24, 3))
    # nor where what is kept was renamed, as a tool that merges folders may do
    other.path(FILE).write_bytes(place.path(FILE).read_bytes())
    place.path(file).write_bytes(place.path(FILE).read_bytes())
    assert None is other.get(FILE, pixels.shape)
    assert None is place.get(file, pixels.shape)
    assert None is other.ledger(FILE, len(DATA))


def test_what_is_damaged_is_not_there(place: Place, pixels: Image):
    """Cut anywhere, longer, empty, or with a byte changed: nothing is taken of it."""
    place.put(DATA, pixels, LEDGER)
    path = place.path(FILE)
    good = path.read_bytes()
    flipped = [bytearray(good) for _ in range(0, len(good), 97)]
    for number, copy in enumerate(flipped):
        copy[97 * number] ^= 1
    bad = [*flipped, *(good[:size] for size in range(0, len(good), 131)), good + b"\0"]
    for data in bad:
        path.write_bytes(data)
        assert (None, None) == (place.get(FILE, pixels.shape), place.ledger(FILE, len(DATA)))
    path.write_bytes(good)

    assert place.get(FILE, pixels.shape)


def test_a_full_disk_costs_nothing(place: Place, pixels: Image, monkeypatch: pytest.MonkeyPatch):
    """What cannot be kept is left, and nothing of it lies about."""

    def write(path, data):
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write)
    place.put(DATA, pixels, LEDGER)
    Place("/dev/null/absent", "decoder").put(DATA, pixels, LEDGER)

    assert [] == list(Path(place.folder).glob("[0-9a-f]*"))
    assert None is place.get(FILE, pixels.shape)


def test_the_oldest_are_removed(monkeypatch: pytest.MonkeyPatch, pixels: Image):
    """Beyond the limit; what a page took lately is not old. A limit of 0 removes all."""
    folder = kept.folder()
    folder.mkdir(parents=True)
    place = Place(str(folder), "decoder")
    for age, name in enumerate((b"new", b"old", b"older")):
        place.put(name, pixels, {})
        os.utime(place.path(hashlib.sha256(name).hexdigest()), (1e9 - age, 1e9 - age))
    size = max(path.stat().st_size for path in folder.iterdir())
    place.get(hashlib.sha256(b"older").hexdigest(), pixels.shape)
    monkeypatch.setenv(kept.LIMIT, str(2.5 * size / 2**20))
    kept.trim()
    left = {place.path(hashlib.sha256(name).hexdigest()) for name in (b"new", b"older")}

    assert left == set(folder.iterdir())
    monkeypatch.setenv(kept.LIMIT, "0")
    kept.trim()
    assert [] == list(folder.iterdir())


def test_only_what_was_kept_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: Image
):
    """The folder may be a link into the user's own files: they stay whatever the limit is."""
    photos, folder = tmp_path / "photos", kept.folder()
    photos.mkdir()
    own = [photos / name for name in ("holiday.jpg", "a" * 63, "b" * 64 + ".png", "c" * 64 + "0")]
    for path in own:
        path.write_bytes(b"mine")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(photos)
    Place(str(folder), "decoder").put(DATA, pixels, LEDGER)
    (photos / f"{'d' * 64}.{'e' * 16}").write_bytes(b"of a run that was killed")
    monkeypatch.setenv(kept.LIMIT, "0")
    kept.trim()

    assert sorted(own) == sorted(photos.iterdir())


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "much"])
def test_no_limit_that_means_nothing(monkeypatch: pytest.MonkeyPatch, text: str):
    """Then nothing is kept: who sets the variable wants less, not more."""
    monkeypatch.setenv(kept.LIMIT, text)

    assert 0 == kept.limit_bytes()
    assert None is kept.place_of(registry.create("agvae-small"))


def test_pictures_of_networks_of_the_suite_are_kept(monkeypatch: pytest.MonkeyPatch):
    """On a CPU; not those of JPEG, of a GPU, of another package. All that decodes has a part."""
    small = registry.create("agvae-small")
    place = kept.place_of(small)

    assert place == kept.place_of(registry.create("agvae-small"))
    assert None is kept.place_of(registry.create("jpeg"))
    for name, value in (("version", lambda _: "other weights"), ("format_version", 99)):
        with monkeypatch.context() as patch:
            patch.setattr(type(small), name, value)
            assert place != kept.place_of(small)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "_program", lambda: "other code")
        assert place != kept.place_of(small)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "find", lambda _: SimpleNamespace(package="a package"))
        assert None is kept.place_of(small)
    small.device = "cuda"
    assert None is kept.place_of(small)


def _task(codec: str, key: str, pixels: int) -> worker.Task:
    row = SimpleNamespace(key=key, width=pixels, height=1)
    return worker.Task(None, codec, "cpu", None, (), False, row)  # type: ignore[arg-type]


def test_whole_datasets_are_kept_while_they_have_room(monkeypatch: pytest.MonkeyPatch):
    """The smallest first; of JPEG nothing, nor what takes more memory than its decoder."""
    sizes = {"large": 900_000, "small": 300_000, "middle": 500_000, "huge": 9_000_000}
    tasks = [_task("agvae-small", name, size) for name, size in sizes.items()]
    tasks.append(_task("jpeg", "small", 1))
    cells = [Cell(name, "image", "", "", "", name) for name in sizes]
    codecs = [registry.create("agvae-small"), registry.create("jpeg")]

    def names(limit_mib: float) -> list[str]:
        monkeypatch.setenv(kept.LIMIT, str(limit_mib))
        return [task.row.key for task in kept.marked(tasks, cells, codecs) if task.keep]

    assert ["small", "middle"] == names(1)
    assert ["large", "small", "middle"] == names(100)
    assert [] == names(0)


def test_no_cell_fails_of_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A ledger that cannot be had leaves the picture unkept and the row as it is."""

    def fail(*_: object) -> None:
        raise CodecFailed("died: SIGSEGV in ledger")

    monkeypatch.setattr(decoder, "ledger", fail)
    task = SimpleNamespace(keep=Place(str(tmp_path), "decoder"), codec="a", device="cpu")
    pixels = np.zeros((1, 1, 3), np.uint8)
    worker._keep(SimpleNamespace(task=task, data=DATA, decoded=pixels))  # type: ignore[arg-type]

    assert [] == list(tmp_path.iterdir())
