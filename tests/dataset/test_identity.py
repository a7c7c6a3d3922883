"""bench.dataset.identity: hashes are remembered, and never for a file that has changed."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import image
from bench.dataset import identity
from bench.errors import DatasetError, ImageError

Site = Any  # the class stands in conftest.py, which tests cannot import


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded."""
    seen: list[str] = []
    plain = image.load

    def counted(path: Path) -> image.Image:
        seen.append(path.name)
        return plain(path)

    monkeypatch.setattr(image, "load", counted)
    return seen


@pytest.fixture
def picture(site: Site, home: Path, tmp_path: Path) -> Path:
    """A file whose hash is not known yet."""
    path = tmp_path / "a.png"
    path.write_bytes(site.png(10))
    return path


def start_again() -> None:
    """Forget what this process knows, as a new one would."""
    identity._cache.cache_clear()


def lines_of(home: Path) -> list[bytes]:
    return [line for line in (home.parent / "hashes.jsonl").read_bytes().splitlines() if line]


def test_identify(picture: Path) -> None:
    """An identity holds both hashes and the size in pixels, width first."""
    found = identity.identify(picture)

    assert hashlib.sha256(picture.read_bytes()).hexdigest() == found.sha256
    assert image.pixels_sha256(image.load(picture)) == found.rgb_sha256
    assert (7, 5) == (found.width, found.height)


def test_a_file_is_decoded_once(picture: Path, home: Path, loads: list[str]) -> None:
    """The second time, and in the next process, the hash comes from the cache."""
    first = identity.identify(picture)
    again = identity.identify(picture)
    start_again()
    later = identity.identify(picture)

    assert first == again == later
    assert ["a.png"] == loads
    assert 1 == len(lines_of(home))


def test_a_changed_file_is_decoded_again(picture: Path, site: Site, loads: list[str]) -> None:
    """Other bytes of the same length, even with the old modification time, are noticed."""
    before = identity.identify(picture)
    stat = picture.stat()
    data = bytearray(site.png(77))
    assert len(data) == stat.st_size
    picture.write_bytes(data)
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert before.rgb_sha256 != identity.identify(picture).rgb_sha256
    assert ["a.png", "a.png"] == loads


def test_a_known_file_is_not_decoded(picture: Path, loads: list[str]) -> None:
    """A file with the very hash that was expected needs no decoding."""
    expected = identity.identify(picture, None)
    loads.clear()
    copy = picture.with_name("b.png")
    copy.write_bytes(picture.read_bytes())

    assert expected == identity.identify(copy, expected)
    assert [] == loads


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe not JSON\n",
        b"[1, 2]\n3\nnull\n{}\n",
        b'{"key": ["PATH", 1], "sha256": "0"}\n',
        b'{"key": KEY, "sha256": "0", "rgb_sha256": "0", "width": 7, "height": 5}\n',
        b'{"key": KEY, "sha256": 0, "rgb_sha256": 0, "width": 7, "height": 5}\n',
        b'{"key": KEY, "sha256": "HASH", "rgb_sha256": "HASH", "width": "7", "height": 5}\n',
        b'{"key": KEY, "sha256": "HASH", "rgb_sh',
    ],
    ids=["empty", "binary", "other JSON", "short", "no hashes", "numbers", "text", "cut off"],
)
def test_a_damaged_cache_is_survived(
    damage: bytes, picture: Path, home: Path, loads: list[str]
) -> None:
    """Whatever stands in the cache file, the hash is right, and the next process has it."""
    key = str(list(identity._key(picture))).replace("'", '"').encode()
    home.parent.mkdir(parents=True)
    damaged = damage.replace(b"KEY", key).replace(b"HASH", b"0" * 64)
    (home.parent / "hashes.jsonl").write_bytes(damaged)
    start_again()

    found = identity.identify(picture)
    start_again()

    assert hashlib.sha256(picture.read_bytes()).hexdigest() == found.sha256
    assert found == identity.identify(picture)
    assert ["a.png"] == loads


def test_an_unwritable_cache_is_survived(picture: Path, home: Path, loads: list[str]) -> None:
    """Where no cache can be written, hashes are computed and nobody is bothered."""
    home.parent.parent.mkdir(parents=True)
    home.parent.write_text("a file where the folder should be")
    start_again()

    first = identity.identify(picture)
    start_again()

    assert first == identity.identify(picture)
    assert ["a.png", "a.png"] == loads


def test_a_large_cache_forgets_its_older_half(
    picture: Path, home: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache file is bounded, and what was remembered last is still known."""
    for name in ("b.png", "c.png", "d.png"):
        identity.identify(Path(shutil.copy(picture, picture.with_name(name))))
    before = lines_of(home)
    monkeypatch.setattr(identity, "_LIMIT_BYTES", 2 * max(map(len, before)) + 8)
    loads.clear()
    start_again()
    identity.identify(picture.with_name("d.png"))
    identity.identify(picture.with_name("b.png"))

    assert ["b.png"] == loads
    assert [before[-1]] == lines_of(home)[:1]
    assert 2 == len(lines_of(home))


def test_identify_names_what_it_cannot_read(picture: Path, tmp_path: Path) -> None:
    """A missing file and a broken one are image errors, and are not remembered."""
    picture.write_bytes(b"broken")
    for path in (picture, tmp_path / "absent.png"):
        with pytest.raises(ImageError, match=path.name):
            identity.identify(path)
    with pytest.raises(ImageError, match="not an image"):
        identity.identify(picture)


def test_match(picture: Path, site: Site) -> None:
    """The same bytes match, other bytes of the same pixels match, other pixels do not."""
    expected = identity.identify(picture)
    recoded, other = picture.with_name("recoded.png"), picture.with_name("other.png")
    recoded.write_bytes(site.png(10, level=0))
    other.write_bytes(site.png(11))

    assert expected == identity.match(picture, expected)
    assert expected.sha256 != identity.match(recoded, expected).sha256
    with pytest.raises(DatasetError, match=f"wanted sha256 {expected.sha256} .*found "):
        identity.match(other, expected)


def test_match_needs_the_shape(tmp_path: Path, home: Path) -> None:
    """The same bytes in rows of another length are another picture."""
    wide = np.full((2, 8, 3), 9, np.uint8)
    image.save(wide, tmp_path / "wide.png")
    image.save(wide.reshape(8, 2, 3), tmp_path / "tall.png")
    expected = identity.identify(tmp_path / "wide.png")

    assert expected.rgb_sha256 == identity.identify(tmp_path / "tall.png").rgb_sha256
    with pytest.raises(DatasetError, match=r"the 8x2 pixels .*found .*the 2x8 pixels"):
        identity.match(tmp_path / "tall.png", expected)
