"""``bench match``: what photographs need in other formats at equal quality."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as PILImage

from bench import image as images
from bench.image import Image
from bench.measurement import matching
from bench.measurement.results import read_csv


@pytest.fixture(scope="module")
def photos(photo: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photographs, one of them a JPEG file; and a folder of JPEG files alone."""
    folder = tmp_path_factory.mktemp("match")
    for name in ("mixed", "lossy"):
        (folder / name).mkdir()
    images.save(photo[:96, :96], folder / "mixed" / "a.png")
    for place in (folder / "mixed" / "b.jpg", folder / "lossy" / "b.jpg"):
        PILImage.fromarray(photo[120:216, 150:246]).save(place, quality=92)
    return folder


def test_a_folder(bench, photos: Path, tmp_path: Path, without_workers: None):
    """The answer in words, as CSV and table; the files as they are; what was lossy already."""
    out = tmp_path / "out"
    words = ("match", f"folder:{photos / 'mixed'}", "-m", "psnr", "-c", "webp", "-o", out, "-j", 1)
    done = bench(*words)
    found = read_csv(out / "match.csv").set_index("codec")
    rows = read_csv(out / "rows.csv")

    assert 0 == done.code
    assert "jpeg quality 80 = webp quality " in done.stdout
    assert "1 of 2 files are JPEG, lossy already" in done.stderr
    sizes = [path.stat().st_size for path in (photos / "mixed").iterdir()]
    jpeg, webp = found.loc["jpeg"], found.loc["webp"]
    assert sum(sizes) / 2 == found.loc["as-is", "bytes"]
    assert rows.loc[rows["codec"] == "jpeg", "bytes"].mean() == pytest.approx(jpeg["bytes"])
    assert jpeg["bytes"] - webp["bytes"] == pytest.approx(webp["saved_bytes"])
    assert 100 * (webp["bytes"] / jpeg["bytes"] - 1) == pytest.approx(webp["bytes_percent"])
    assert webp["encode_ratio"] == pytest.approx(webp["encode_s_mp"] / jpeg["encode_s_mp"])
    assert (2, 1) == (webp["sources"], webp["lossy"])
    assert {"psnr of jpeg:quality=80"} == set(found["target"])
    assert "files as they are" in next((out / "tables").glob("*_match.md")).read_text()
    assert not (out / "experiment.toml").exists()
    again = bench(*words)
    assert "measured now" not in again.stderr or " 0 measured now" in again.stderr

    bench("report", "-o", out, "--html", out / "page.html")
    page = (out / "page.html").read_text()
    assert page.index("jpeg quality 80 = webp quality ") < page.index('class="cards"')
    assert "No winner can be named" not in page
    assert '"target":"psnrofjpeg:quality=80","shots":{"1":' in page.replace(" ", "")
    assert "bench match folder:" in page
    (out / "match.csv").write_text((out / "match.csv").read_text().replace(",webp,", ",avif,"))
    bench("report", "-o", out, "--html", out / "page.html")
    page = (out / "page.html").read_text()
    assert "jpeg quality 80 = " not in page
    assert "At equal quality" in page


def test_files_that_are_lossy_already(bench, photos: Path, tmp_path: Path):
    """They are what the others are compared with, at a distance that is said."""
    out = tmp_path / "out"
    done = bench(
        *("match", f"folder:{photos / 'lossy'}", "-c", "webp", "-t", "ssimulacra2=80"),
        *("-o", out, "-j", 1),
    )
    found = read_csv(out / "match.csv").set_index("codec")

    assert "at ssimulacra2=80, 1 of 1 images" in done.stdout
    size = (photos / "lossy" / "b.jpg").stat().st_size
    assert size == found.loc["as-is", "bytes"]
    assert size - found.loc["webp", "bytes"] == pytest.approx(found.loc["webp", "saved_bytes"])
    assert {"as-is"} == set(found["anchor"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--from", "jpeg"), "does not say which quality. Write jpeg:quality=VALUE"),
        (("--from", "jpeg:quality=101"), "quality must be a whole number from 1 to 100"),
        (("--from", "jpge:quality=80"), "Did you mean jpeg"),
        (("-c", "jpeg"), "jpeg is what the others are compared with"),
        (("-c", "null"), "codec null has no bounded rate parameter"),
        (("-c", "wepb"), "Did you mean webp"),
        (("-m", "psnrr"), "Did you mean psnr"),
        (("-t", "psnr=30"), "the target is what jpeg:quality=80 has"),
        (("--from", "as-is", "-m", "psnr"), "the files have no psnr of their own to match"),
    ],
)
def test_what_cannot_be_matched_is_said_first(
    bench, photos: Path, tmp_path: Path, words: tuple[str, ...], reason: str
):
    """In one line, with exit code 2, before a folder is made."""
    out = tmp_path / "out"
    done = bench("match", f"folder:{photos / 'mixed'}", *words, "-o", out)

    assert (2, "") == (done.code, done.stdout)
    assert reason in done.stderr
    assert not out.exists()


def test_a_jpeg_in_a_tiff_is_lossy(photo: Image, tmp_path: Path):
    """A TIFF file may hold what JPEG left of a photograph."""
    picture = PILImage.fromarray(photo[:64, :64])
    for name, how in (("jpeg", "jpeg"), ("plain", None)):
        picture.save(tmp_path / f"{name}.tif", compression=how)

    assert "JPEG" == matching._lossy(tmp_path / "jpeg.tif")
    assert "" == matching._lossy(tmp_path / "plain.tif")
