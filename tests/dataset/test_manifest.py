"""The manifests of datasets/, each of them, and what is said of a broken one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.dataset import manifest
from bench.dataset import open as dataset
from bench.errors import DatasetError, OutputError, UsageError

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
    """Where the team's table of checksums is available, the manifests say the same."""
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
        ('default = "available"', 'default = "always"', "always"),
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
        'images = 1\ndefault = "available"\nfolders = ["f"]\nfiles = [{ name = "a.png" }]\n'
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


GOOD = (
    'title = "T"\nlicence = "L"\nsource = "S"\nrevision = "R"\ndescription = "D"\n'
    'images = 1\ndefault = "available"\nfolders = ["f"]\nfiles = [{ name = "a.png" }]\n'
)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "sub/a.png", "/etc/a.png", "..", ".", "", "C:a.png", "C:\\\\a.png",
        "..\\\\a.png", "\\\\\\\\host\\\\share", "a\\u0000.png", "a\\u001b[2J.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["file", "folder", "package"])
def test_names_that_lead_elsewhere(
    where: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest names plain files in plain folders of the data folder, on every system."""
    if where == "package" and name in ("", "sub/a.png"):
        pytest.skip("a folder below a package, or none")
    old, new = {
        "file": ('"a.png"', f'"{name}"'),
        "folder": ('["f"]', f'["{name}"]'),
        "package": ("images = 1", f'images = 1\npackage = "skimage/{name}"'),
    }[where]
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    (tmp_path / "bad.toml").write_text(GOOD.replace(old, new))

    with pytest.raises(DatasetError, match=r"not a plain name|not a complete manifest"):
        manifest.read("bad")


@pytest.mark.parametrize("url", ["file:///etc/{file}", "ftp://host/{file}", "/etc/{file}", ""])
def test_addresses_off_the_web(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only https and http are downloaded from."""
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    (tmp_path / "urls.toml").write_text(f'urls = ["{url}"]\n{GOOD}')
    (tmp_path / "zip.toml").write_text(f'{GOOD}archive = {{ url = "{url}" }}\n')
    for name in ("urls", "zip"):
        with pytest.raises(DatasetError, match="does not begin with https"):
            manifest.read(name)


def test_links_are_read_not_written_through(tmp_path: Path) -> None:
    """A folder that is a link out of the data folder is searched, but not downloaded to."""
    found = manifest.parse("d", GOOD)
    inside, outside = tmp_path / "data", tmp_path / "elsewhere"
    inside.mkdir(), outside.mkdir()
    (outside / "a.png").write_bytes(b"x")
    (inside / "f").symlink_to(outside)

    assert {"a.png": inside / "f" / "a.png"} == manifest.locate(found, inside)
    with pytest.raises(OutputError, match=r"is a link that leads to .*nothing was written"):
        manifest.download_folder(found, inside)
    (inside / "f").unlink()
    (inside / "g").mkdir()
    (inside / "f").symlink_to("g")
    assert inside / "f" == manifest.download_folder(found, inside)


def test_files_of_other_formats_are_passed_over_by_name(tmp_path: Path) -> None:
    """Images that are not read as originals are listed; GIF and every spelling of JPEG are read."""
    for name in ("a.avif", "b.HEIC", "c.jp2", "d.gif", "e.jfif", "f.jpe", "g.txt", ".h.jxl"):
        (tmp_path / name).touch()

    assert ["d.gif", "e.jfif", "f.jpe"] == [p.name for p in manifest.list_images(tmp_path)]
    assert ["a.avif", "b.HEIC", "c.jp2"] == [p.name for p in manifest.passed_over(tmp_path)]
    note = dataset.open_dataset(f"folder:{tmp_path}").note
    assert "3 image files are passed over" in note
    assert "a.avif, b.HEIC, c.jp2" in note
    for name in ("d.gif", "e.jfif", "f.jpe"):
        (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=r"no image files.*3 image files are passed over"):
        dataset.open_dataset(f"folder:{tmp_path}")
