"""Datasets that come as one ZIP file: what is taken out of it, and what is refused."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bench.dataset.fetch import Incomplete, fetch

Site = Any  # the class stands in conftest.py, which tests cannot import


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def inside(site: Site) -> dict[str, bytes]:
    """What the archive of the dataset should hold."""
    return {f"valid/{name}": data for name, data in site.pictures.items()}


def test_archive(site: Site, inside: dict[str, bytes], home: Path) -> None:
    """Of an archive the images come, without macOS's hidden files; the archive itself goes."""
    extra = {"__MACOSX/valid/._a.png": b"x", "valid/._b.png": b"x", "valid/read.me": b"hello"}
    site.files = {"three.zip": zipped({"valid/": b"", **inside, **extra})}
    md5 = hashlib.md5(site.files["three.zip"]).hexdigest()
    site.publish(images=3, archive="three.zip", md5=md5)

    report = fetch("three")

    assert list(site.pictures) == report.downloaded == names_in(home / "three")
    assert [site.entry(name, data) for name, data in site.pictures.items()] == [
        str(found) for found in report.found
    ]
    assert ["three"] == names_in(home)
    assert list(site.pictures) == fetch("three").present
    assert ["three.zip"] == site.asked


def test_archive_with_a_broken_image(site: Site, inside: dict[str, bytes], home: Path) -> None:
    """An image that does not decode is extracted all the same and costs only itself."""
    site.files = {"three.zip": zipped({**inside, "valid/b.png": b"broken"})}
    site.publish(images=3, archive="three.zip")

    report = fetch("three")

    assert list(site.pictures) == report.downloaded
    assert ["a.png", "c.png"] == [found.name for found in report.found]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("../evil.png", r"outside of itself: '../evil.png'"),
        ("a/../../evil.png", "outside of itself"),
        ("/tmp/evil.png", "outside of itself"),
        ("..\\evil.png", "outside of itself"),
        ("more/a.png", "two images called a.png"),
    ],
)
def test_archive_with_an_evil_entry(
    extra: str, told: str, site: Site, inside: dict[str, bytes], home: Path
) -> None:
    """An archive that points outside of itself, or overwrites its own, gives nothing at all."""
    site.files = {"three.zip": zipped({**inside, extra: b"x"})}
    site.publish(images=3, archive="three.zip")

    with pytest.raises(Incomplete, match=f"0 of 3.*three.zip: .*{told}"):
        fetch("three")

    assert [] == names_in(home)
    assert [] == list(home.parent.rglob("*evil*"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda _: b"this is no archive", "the archive is damaged"),
        (lambda good: good[:-60], "the archive is damaged"),
        (lambda good: good.replace(b"IDAT", b"IDAX"), "the archive is damaged .*CRC"),
        (lambda _: zipped({"read.me": b"hello"}), "holds none of the images"),
    ],
    ids=["no archive", "cut", "flipped", "no images"],
)
def test_damaged_archive(
    damage: Callable[[bytes], bytes], told: str, site: Site, inside: dict[str, bytes], home: Path
) -> None:
    """A damaged archive leaves nothing, not even the images before the damage."""
    site.files = {"three.zip": damage(zipped(inside))}
    site.publish(images=3, archive="three.zip")

    with pytest.raises(Incomplete, match=f"0 of 3.*three.zip: .*{told}"):
        fetch("three")

    assert [] == names_in(home)


def test_archive_of_another_hash(site: Site, inside: dict[str, bytes], home: Path) -> None:
    """An archive with another md5 than the manifest says is deleted unopened."""
    site.files = {"three.zip": zipped(inside)}
    site.publish(images=3, archive="three.zip", md5="0" * 32)
    found = hashlib.md5(site.files["three.zip"]).hexdigest()

    with pytest.raises(Incomplete, match=f"wanted md5 0{{32}}, found {found}; the download was"):
        fetch("three")

    assert [] == names_in(home)


def test_archive_fills_the_gaps(site: Site, inside: dict[str, bytes], home: Path) -> None:
    """What single addresses no longer serve comes out of the archive, checked by its own hash."""
    archive = zipped({**inside, "valid/d.png": b""})
    site.files = {"a.png": site.pictures["a.png"], "three.zip": archive}
    site.publish(files=site.pictures, archive="three.zip")

    report = fetch("three")

    assert list(site.pictures) == sorted(report.downloaded) == names_in(home / "three")
    assert ["a.png", "b.png", "c.png", "three.zip"] == site.asked


def test_archive_with_a_wrong_image(site: Site, inside: dict[str, bytes], home: Path) -> None:
    """A file of the archive that has another hash than the manifest says is refused."""
    archive = zipped({**inside, "valid/b.png": site.png(99)})
    site.files = {"a.png": site.pictures["a.png"], "three.zip": archive}
    site.publish(files=site.pictures, archive="three.zip")

    with pytest.raises(Incomplete, match=r"404.*three.zip: b.png: wanted sha256"):
        fetch("three")

    assert ["a.png"] == names_in(home / "three")
