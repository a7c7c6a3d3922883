"""bench.dataset.open: what a name opens, what is said about it, and what is refused."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import image
from bench.dataset import manifest
from bench.dataset import open as dataset
from bench.errors import DatasetError, ImageError, UsageError

Site = Any  # the class stands in conftest.py, which tests cannot import

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with the real manifests, no data and no network; returns a --data-dir."""
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    return tmp_path / "data"


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_open_kodak(kodak_dir: Path, empty: Path) -> None:
    """Kodak available is 24 verified images under their own names, with nothing to add."""
    opened = dataset.open_dataset("kodak", kodak_dir.parent)

    assert [f"kodim{n:02d}" for n in range(1, 25)] == [item.name for item in opened.items]
    assert ("kodak", "", ()) == (opened.display_name, opened.note, opened.missing)
    assert (512, 768, 3) == dataset.load_item(opened.items[0]).shape
    for item in opened.items:
        assert item.file.rgb_sha256 == dataset.pixel_identity(item)[0]
        assert (item.file.width, item.file.height) == dataset.pixel_identity(item)[1:]


def test_the_folder_itself_is_a_data_dir(kodak_dir: Path, empty: Path) -> None:
    """--data-dir may also name the folder of the images."""
    opened = dataset.open_dataset("kodak", kodak_dir, download=False, images=["kodim05.png"])

    assert [kodak_dir / "kodim05.png"] == [item.path for item in opened.items]


def test_items_travel(kodak_dir: Path, empty: Path) -> None:
    """An item survives pickling, and can be loaded elsewhere."""
    item = dataset.open_dataset("kodak", kodak_dir.parent, images=["kodim04"]).items[0]

    again = pickle.loads(pickle.dumps(item))

    assert item == again
    assert item.file.rgb_sha256 == image.pixels_sha256(dataset.load_item(again))


def test_partial_clic(clic2025_dir: Path, empty: Path) -> None:
    """Some of the images under the short folder name are usable, and are never called CLIC."""
    opened = dataset.open_dataset("clic2025-validation", clic2025_dir.parent)
    count = len(list(clic2025_dir.glob("*.png")))

    assert 0 < count < 32
    assert count == len(opened.items)
    assert 32 - count == len(opened.missing)
    assert f"clic2025-validation ({count} of 32)" == opened.display_name
    assert f"{count} of 32 images; never call their average CLIC 2025 validation" in opened.note
    assert "downloading the others failed" in opened.note
    assert re.fullmatch("[0-9a-f]{64}", str(opened.provenance()["pixels_sha256"]))


def test_missing_images_are_downloaded(site: Site, home: Path, tmp_path: Path) -> None:
    """What one place has and what the web has make one dataset, without touching the first."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)
    mine = put(tmp_path / "mine", {"trio/a.png": site.pictures["a.png"]})
    told: list[str] = []

    opened = dataset.open_dataset("three", mine, progress=told.append)

    assert ["a", "b", "c"] == [item.name for item in opened.items]
    assert ["b.png", "c.png"] == site.asked
    assert mine / "trio" / "a.png" == opened.items[0].path
    assert mine / "three" / "b.png" == opened.items[1].path
    assert ("three", "", 3) == (opened.display_name, opened.note, opened.expected)
    assert told


def test_search_order(site: Site, home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """--data-dir comes before $BENCH_DATA, and that before the user cache."""
    site.publish(files=site.pictures)
    put(home / "three", site.pictures)
    environment = put(
        tmp_path / "env", {f"three/{n}": site.pictures[n] for n in ("a.png", "b.png")}
    )
    given = put(tmp_path / "given", {"three/a.png": site.pictures["a.png"]})
    monkeypatch.setenv("BENCH_DATA", str(environment))

    opened = dataset.open_dataset("three", given)

    assert [given, environment, home] == [item.path.parent.parent for item in opened.items]
    assert [] == site.asked


def test_only_named_images_are_downloaded(site: Site, home: Path) -> None:
    """--image fetches its image alone, and the table's name shows that it is one of three."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)

    opened = dataset.open_dataset("three", images=["b"])

    assert ["b.png"] == site.asked
    assert "three (1 of 3)" == opened.display_name
    assert () == opened.missing
    with pytest.raises(UsageError, match="no image 'd'"):
        dataset.open_dataset("three", images=["b", "d"])


def test_offline_never_asks(site: Site, home: Path) -> None:
    """Without leave to download, what is absent is an error that says what to do."""
    site.publish(files=site.pictures)
    site.files = dict(site.pictures)

    with pytest.raises(dataset.NotAtHand, match=r"Run `bench fetch three`.*example.org") as caught:
        dataset.open_dataset("three", download=False)

    assert str(home) in str(caught.value)
    assert [] == site.asked


def test_a_wrong_file_is_refused(site: Site, home: Path, tmp_path: Path) -> None:
    """Another picture under a known name is an error with both hashes; the file stays."""
    site.publish(files=site.pictures)
    mine = put(tmp_path / "mine" / "three", {**site.pictures, "b.png": site.png(99)})
    wanted = hashlib.sha256(site.pictures["b.png"]).hexdigest()
    found = hashlib.sha256(site.png(99)).hexdigest()

    with pytest.raises(DatasetError, match=f"b.png is not.*{wanted}.*{found}.*Move it away"):
        dataset.open_dataset("three", mine.parent)

    assert site.png(99) == (mine / "b.png").read_bytes()


@pytest.mark.parametrize("data", [b"", b"not an image"])
def test_a_broken_file_of_a_known_name(data: bytes, site: Site, home: Path, tmp_path: Path) -> None:
    """A known file that does not decode is told by its hash, not only as damaged."""
    site.publish(files=site.pictures)
    mine = put(tmp_path / "mine" / "three", {**site.pictures, "b.png": data})

    with pytest.raises(DatasetError, match=r"wanted sha256 .*found .*does not decode"):
        dataset.open_dataset("three", mine.parent)


def test_a_file_that_changes_after_opening(site: Site, home: Path, tmp_path: Path) -> None:
    """Workers check the pixels that they load, not only the file that was opened."""
    site.publish(files=site.pictures)
    mine = put(tmp_path / "mine" / "three", site.pictures)
    items = dataset.open_dataset("three", mine.parent).items
    (mine / "a.png").write_bytes(site.png(98))
    (mine / "b.png").write_bytes(b"broken")

    with pytest.raises(DatasetError, match=r"a\.png is not the image of that name: wanted 7x5"):
        dataset.load_item(items[0])
    with pytest.raises(DatasetError, match=r"b\.png is not the image.*does not decode"):
        dataset.load_item(items[1])
    with pytest.raises(DatasetError, match=r"a\.png is not the image"):
        dataset.pixel_identity(items[0])


def test_another_encoding_is_accepted(site: Site, home: Path, tmp_path: Path) -> None:
    """A recompressed PNG of the right pixels is used, and the note says which ones they are."""
    site.publish(files=site.pictures)
    mine = put(tmp_path / "mine" / "three", {**site.pictures, "b.png": site.png(20, level=0)})

    opened = dataset.open_dataset("three", mine.parent)

    assert "other files than upstream's, the same pixels: b" == opened.note
    assert "three" == opened.display_name
    assert opened.items[1].file.rgb_sha256 == dataset.pixel_identity(opened.items[1])[0]


def test_unknown_hashes_are_said(site: Site, home: Path, tmp_path: Path) -> None:
    """Images that nobody can check are used, and the note counts them."""
    site.publish(files={"a.png": site.pictures["a.png"]}, unknown=("b.png",))
    mine = put(tmp_path / "mine" / "three", site.pictures)

    opened = dataset.open_dataset("three", mine.parent)

    assert "1 images have no published hash and were not checked" in opened.note
    np.testing.assert_array_equal(image.load(mine / "b.png"), dataset.load_item(opened.items[1]))


def test_archive_content_is_taken_as_found(site: Site, home: Path, tmp_path: Path) -> None:
    """Of a dataset known by its archive alone, the folder's images are it, and are counted."""
    site.publish(images=4, archive="three.zip")
    put(tmp_path / "mine" / "three" / "valid", {**site.pictures, "._a.png": b"x"})

    opened = dataset.open_dataset("three", tmp_path / "mine", download=False)
    chosen = dataset.open_dataset("three", tmp_path / "mine", images=["b"])

    assert ["a", "b", "c"] == [item.name for item in opened.items]
    assert "three (3 of 4)" == opened.display_name
    assert ["b"] == [item.name for item in chosen.items]
    assert [] == site.asked


def test_folder(site: Site, home: Path, tmp_path: Path) -> None:
    """Any folder is a dataset: every image below it, by its path, whole by definition."""
    folder = put(
        tmp_path / "photos",
        {"b.png": site.png(1), "trip/a.PNG": site.png(2), ".hidden.png": b"", "note.txt": b"x"},
    )

    opened = dataset.open_dataset(f"folder:{folder}/")

    assert ["b.png", "trip/a.PNG"] == [item.name for item in opened.items]
    assert f"folder:{folder}" == opened.display_name == opened.name
    assert ("photos", "", 2) == (opened.title, opened.note, opened.expected)
    assert (
        image.pixels_sha256(image.load(folder / "b.png"))
        == dataset.pixel_identity(opened.items[0])[0]
    )


def test_folder_selection(site: Site, home: Path, tmp_path: Path) -> None:
    """Images of a folder are chosen by path, by file name or by stem where that is unique."""
    files = {"b.png": site.png(1), "x/a.png": site.png(2), "y/a.png": site.png(3)}
    name = f"folder:{put(tmp_path / 'photos', files)}"

    def chosen(*images: str) -> list[str]:
        return [item.name for item in dataset.open_dataset(name, images=images).items]

    assert ["x/a.png"] == chosen("x/a.png")
    assert ["b.png", "y/a.png"] == chosen("y/a.png", "b", "b.png")
    with pytest.raises(UsageError, match=r"has 2 images 'a'.*x/a.png, y/a.png"):
        chosen("a")
    with pytest.raises(UsageError, match=r"no image 'bb\.png'\. Did you mean b\.png"):
        chosen("bb.png")


def test_folder_with_a_broken_image(site: Site, home: Path, tmp_path: Path) -> None:
    """One broken image costs itself only: the folder opens, its hash and its loading fail."""
    folder = put(tmp_path / "photos", {"a.png": site.png(1), "b.png": b"broken"})

    opened = dataset.open_dataset(f"folder:{folder}")

    assert ["a.png", "b.png"] == [item.name for item in opened.items]
    assert dataset.pixel_identity(opened.items[0])[0]
    for use in (dataset.pixel_identity, dataset.load_item):
        with pytest.raises(ImageError, match=r"b\.png is not an image"):
            use(opened.items[1])
    assert ["a.png"] == list(opened.provenance()["images"])
    assert {"b.png"} == set(opened.pictures().unreadable)


def test_folder_errors(home: Path, tmp_path: Path) -> None:
    """An empty folder, a missing one and a file say what they are."""
    (tmp_path / "void").mkdir()
    (tmp_path / "file.png").touch()

    with pytest.raises(DatasetError, match="void has no image files"):
        dataset.open_dataset(f"folder:{tmp_path / 'void'}")
    for name in ("absent", "file.png"):
        with pytest.raises(DatasetError, match=f"{name} is not a folder"):
            dataset.open_dataset(f"folder:{tmp_path / name}")


def test_provenance_follows_the_pixels(site: Site, home: Path, tmp_path: Path) -> None:
    """The hash of a dataset is that of its pictures, not of its files."""
    names = {"first": site.png(1), "same": site.png(1, level=0), "other": site.png(2)}
    hashes = {
        name: dataset.open_dataset(f"folder:{put(tmp_path / name, {'a.png': data})}").provenance()[
            "pixels_sha256"
        ]
        for name, data in names.items()
    }

    assert hashes["first"] == hashes["same"]
    assert hashes["first"] != hashes["other"]


def test_default_is_kodak_and_complete_clic(kodak_dir: Path, clic2025_dir: Path) -> None:
    """A bare run takes Kodak and says which of CLIC is not whole here; no archive is downloaded."""
    chosen, messages = dataset.choose_default(kodak_dir.parent)
    count = len(list(clic2025_dir.glob("*.png")))

    assert ["kodak"] == [d.display_name for d in chosen]
    here = f"{count} of 32 images are available; --dataset clic2025-validation measures them"
    assert [f"clic2025-validation is left out: {here}"] == messages


@pytest.mark.parametrize("one", [False, True])
def test_a_complete_archive_is_measured_beside_kodak(
    kodak_dir: Path, empty: Path, photo, *, one: bool
) -> None:
    """All 41 images of an archive make it part of a bare run, but not where one is enough."""
    folder = empty / manifest.read("clic2020-professional").folders[0]
    folder.mkdir(parents=True)
    (empty / "kodak").symlink_to(kodak_dir)
    for number in range(41):
        image.save(photo[number : number + 8, :8], folder / f"{number}.png")
    chosen, messages = dataset.choose_default(empty, download=False, one=one)

    assert ["kodak", *([] if one else ["clic2020-professional"])] == [
        d.display_name for d in chosen
    ]
    assert [] == messages


def test_default_without_data_or_network(empty: Path) -> None:
    """With nothing available a bare run takes the embedded photographs, and says so loudly."""
    chosen, messages = dataset.choose_default(empty)

    assert ["sample"] == [d.display_name for d in chosen]
    assert 2 == len(messages)
    assert re.search(r"dataset kodak is not available.*failed: .*cannot be reached", messages[0])
    assert "NEITHER KODAK NOR CLIC IS AVAILABLE" in messages[1]
    assert "" == chosen[0].note


def test_default_with_images_of_the_sample(empty: Path) -> None:
    """--image of the fallback finds it there; of no dataset at all is an error."""
    chosen, _ = dataset.choose_default(empty, download=False, images=["coffee"])

    assert [["coffee"]] == [[item.name for item in d.items] for d in chosen]
    with pytest.raises(UsageError, match="no image 'tea'"):
        dataset.choose_default(empty, download=False, images=["tea"])


def test_default_refuses_a_wrong_kodak(kodak_dir: Path, empty: Path) -> None:
    """A wrong file under a Kodak name stops the run rather than falling back in silence."""
    name = "kodim01.png"
    put(empty / "kodak", {name: (kodak_dir / "kodim02.png").read_bytes()})

    with pytest.raises(DatasetError, match=r"kodim01.png is not the image of that name"):
        dataset.choose_default(empty, download=False)


def test_sample(empty: Path) -> None:
    """The embedded photographs are verified like any other dataset."""
    opened = dataset.open_dataset("sample", download=False)

    assert ["astronaut", "chelsea", "coffee", "motorcycle_left"] == [i.name for i in opened.items]
    assert ("sample", "") == (opened.display_name, opened.note)
    assert (400, 600, 3) == dataset.load_item(opened.items[2]).shape


def test_overview(kodak_dir: Path, empty: Path) -> None:
    """Every dataset is listed with what is available of it."""
    rows = {row["name"]: row for row in dataset.overview(kodak_dir.parent)}

    assert manifest.names() == list(rows)
    assert "24 of 24" == rows["kodak"]["available"]
    assert "0 of 61" == rows["clic2020-mobile"]["available"]
    assert all(row["title"] and row["licence"] for row in rows.values())


def test_many_names_are_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming all images of a folder takes time in proportion, not by the square."""
    names = [f"{k:02}" for k in range(30)]
    for name in names:
        image.save(np.zeros((2, 2, 3), np.uint8), tmp_path / f"{name}.png")
    looked_at = []
    stem = manifest.File.stem.fget
    assert stem is not None
    monkeypatch.setattr(
        manifest.File, "stem", property(lambda file: looked_at.append(file) or stem(file))
    )
    opened = dataset.open_dataset(f"folder:{tmp_path}", images=names)

    assert [f"{name}.png" for name in names] == [item.name for item in opened.items]
    assert len(looked_at) <= 3 * len(names)
