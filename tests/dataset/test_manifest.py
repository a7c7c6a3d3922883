"""The manifests of datasets/, each of them, and what is said of a broken one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.dataset import manifest
from bench.errors import DatasetError, UsageError

IMAGES = {
    "kodak": 24,
    "clic2020-mobile": 61,
    "clic2020-professional": 41,
    "clic2025-validation": 32,
    "sample": 4,
}


def test_names() -> None:
    """The datasets of the suite are there, the default one first and the fallback last."""
    assert list(IMAGES) == manifest.names()


@pytest.mark.parametrize("name", IMAGES)
def test_manifest(name: str) -> None:
    """A manifest says what the dataset is and where it comes from; its hashes are hashes."""
    read = manifest.read(name)

    assert IMAGES[name] == read.images
    assert len(read.files) in (0, read.images)
    assert name == read.folders[0]
    assert re.search(r"\d{3,4} ?(x\d{3}|pixels)", read.description)
    assert read.title
    assert read.licence
    assert read.revision
    assert "https" == urlsplit(read.source.split()[0]).scheme
    assert all("{file}" in url and "https" == urlsplit(url).scheme for url in read.urls)
    assert read.remote != bool(read.package)
    assert len({file.name for file in read.files}) == len(read.files)
    for file in read.files:
        assert all(re.fullmatch("[0-9a-f]{64}", h) for h in (file.sha256, file.rgb_sha256) if h)
        assert (file.sha256 is None) == (file.rgb_sha256 is None) == (file.width is None)


def test_kodak_is_the_small_one() -> None:
    """Every Kodak image is 768x512 or 512x768, and the manifest says so."""
    kodak = manifest.read("kodak")

    assert {(768, 512), (512, 768)} == {(file.width, file.height) for file in kodak.files}
    assert "768x512" in kodak.description
    assert "not the 3072x2048" in kodak.description


def test_unknown_hashes_are_admitted() -> None:
    """Six files of CLIC 2025 have no published hash, and the description says so."""
    clic = manifest.read("clic2025-validation")

    assert 6 == sum(file.sha256 is None for file in clic.files)
    assert "Six of them have no known hash" in clic.description


def test_shared_checksums_agree(kodak_dir: Path) -> None:
    """Where the team's table of checksums is at hand, the manifests say the same."""
    table = kodak_dir.parent / "checksums.csv"
    if not table.is_file():
        pytest.skip("needs checksums.csv beside the Kodak folder")
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    files = {
        (name, file.name): (str(file.width), str(file.height), file.sha256, file.rgb_sha256)
        for name in ("kodak", "clic2025-validation")
        for file in manifest.read(name).files
        if file.sha256
    }

    assert {(row[0], row[1]): tuple(row[3:]) for row in rows} == files


def test_unknown_name() -> None:
    """A mistyped name gets a suggestion, and the word about folders."""
    with pytest.raises(UsageError, match=r"'kodac'\. Did you mean kodak\?.*Or folder:PATH"):
        manifest.read("kodac")


def test_lost_symlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without symbolic links says so instead of knowing no dataset."""
    (tmp_path / "datasets").write_text("../datasets")
    monkeypatch.setattr(manifest, "FOLDER", tmp_path / "datasets")

    with pytest.raises(UsageError, match="lost its symbolic links"):
        manifest.names()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "T"', "title = ", "Invalid"),
        ('title = "T"', "", "title"),
        ('title = "T"', 'titel = "T"', "titel"),
        ('default = "at hand"', 'default = "always"', "always"),
        ("images = 1", "images = 2", "found 1 files"),
        ('name = "a.png"', 'nom = "a.png"', "nom"),
    ],
)
def test_broken_manifest(
    old: str, new: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that lacks or misspells something is named, with what is wrong in it."""
    text = (
        'title = "T"\nlicence = "L"\nsource = "S"\nrevision = "R"\ndescription = "D"\n'
        'images = 1\ndefault = "at hand"\nfolders = ["f"]\nfiles = [{ name = "a.png" }]\n'
    )
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    (tmp_path / "good.toml").write_text(text)
    (tmp_path / "bad.toml").write_text(text.replace(old, new))

    assert 1 == manifest.read("good").images
    with pytest.raises(DatasetError, match=rf"bad\.toml is not a complete manifest.*{told}"):
        manifest.read("bad")


def test_list_images_skips_what_is_hidden(tmp_path: Path) -> None:
    """Hidden files and folders, macOS's leftovers, pipes and other files are no images."""
    for name in ("b.PNG", "a.jpg", "sub/c.tif", "._a.jpg", ".git/d.png", "__MACOSX/e.png", "f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    assert ["a.jpg", "b.PNG", "sub/c.tif"] == [
        path.relative_to(tmp_path).as_posix() for path in manifest.list_images(tmp_path)
    ]
