"""References are checked when they are read: understood, or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.analysis.published_curves import Reference, is_of, load_reference, not_drawn
from bench.dataset import manifest
from bench.errors import UsageError

GOOD = {"bpp": [0.5, 1.0, 2.0], "psnr-rgb": [30.0, 35.0, 40.0]}


def written(path: Path, results: object, **more: object) -> Path:
    """Write a reference; text is written as it is."""
    data = {"name": "VTM", "dataset": "kodak", "results": results} | more
    path.write_text(results if isinstance(results, str) else json.dumps(data))
    return path


def refused(path: Path) -> str:
    """Return the message of a file that is refused, one line that names it."""
    with pytest.raises(UsageError) as caught:
        load_reference(path)
    text = str(caught.value)
    assert str(path) in text
    assert "is not a published curve" in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "key", ["psnr", "psnr-rgb", "psnr_rgb", "PSNR-RGB", "psnr_db", "PSNR (dB)", "psnr-db-rgb"]
)
def test_spellings_of_psnr(tmp_path: Path, key: str):
    """Every usual spelling is the same column."""
    path = written(tmp_path / "a.json", {"bpp": [0.5, 1.0], key: [30.0, 35.0]})

    assert {"psnr_db": [(0.5, 30.0), (1.0, 35.0)]} == load_reference(path).points


@pytest.mark.parametrize("key", ["ms-ssim", "ms_ssim", "ms-ssim-rgb", "MS-SSIM", "msssim"])
def test_spellings_of_ms_ssim(tmp_path: Path, key: str):
    """Plain MS-SSIM becomes decibels, as curves are drawn."""
    path = written(tmp_path / "a.json", {"bpp": [0.5, 1.0], key: [0.9, 0.99]})

    points = load_reference(path).points["ms_ssim_db"]

    assert [(0.5, pytest.approx(10)), (1.0, pytest.approx(20))] == points


@pytest.mark.parametrize("key", ["ms-ssim-db-rgb", "ms-ssim-db", "ms_ssim_db", "MS-SSIM-rgb-dB"])
def test_spellings_of_ms_ssim_in_decibels(tmp_path: Path, key: str):
    """Decibels stay decibels."""
    path = written(tmp_path / "a.json", {"bpp": [0.5, 1.0], key: [10.0, 20.0]})

    assert {"ms_ssim_db": [(0.5, 10.0), (1.0, 20.0)]} == load_reference(path).points


@pytest.mark.parametrize("key", ["lpips_alex", "lpips-alex", "LPIPS (alex)", "LPIPS-Alex"])
def test_spellings_of_lpips(tmp_path: Path, key: str):
    """LPIPS is understood where it says its network."""
    path = written(tmp_path / "a.json", {"bpp": [0.5, 1.0], key: [0.3, 0.2]})

    assert ["lpips_alex"] == list(load_reference(path).points)


def test_lpips_without_its_network_is_refused(tmp_path: Path):
    """Values of different networks are not comparable, so none is guessed."""
    path = written(tmp_path / "a.json", {"bpp": [1], "lpips": [0.2]})

    assert "lpips does not say which of lpips_alex, lpips_squeeze it is" in refused(path)


def test_other_keys_are_listed(tmp_path: Path):
    """PSNR of the luma is not PSNR-RGB, and times are no quality."""
    path = written(tmp_path / "a.json", GOOD | {"psnr-y": [1, 2, 3], "encoding_time": [1, 1, 1]})

    found = load_reference(path)

    assert ["psnr_db"] == list(found.points)
    assert ("psnr-y", "encoding_time") == found.ignored


@pytest.mark.parametrize(
    "name", ["kodak", "Kodak", "KODAK", "kodak24", "Kodak 24", "Kodak (24 images)", "kodak dataset"]
)
def test_spellings_of_kodak(tmp_path: Path, name: str):
    """Every usual spelling is the dataset ``kodak``."""
    assert load_reference(written(tmp_path / "a.json", GOOD, dataset=name)).dataset == "kodak"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("CLIC 2020 professional", "clic2020-professional"),
        ("clic2020_professional", "clic2020-professional"),
        ("CLIC Pro Valid 2020", "clic2020-professional"),
        ("CLIC2020 mobile", "clic2020-mobile"),
        ("CLIC 2025", "clic2025-validation"),
        ("clic professional", "clic professional"),
        ("CLIC 2021 professional", "CLIC 2021 professional"),
        ("kodak2", "kodak2"),
        ("Tecnick", "Tecnick"),
    ],
)
def test_spellings_of_other_datasets(tmp_path: Path, name: str, wanted: str):
    """A year or a part that differs is another dataset."""
    assert load_reference(written(tmp_path / "a.json", GOOD, dataset=name)).dataset == wanted


def test_every_dataset_is_known_by_its_own_name(tmp_path: Path):
    """By that of folder or file too, but for those of CLIC 2020: test sets have the same names."""
    for name in set(manifest.names()) - {"clic2020-professional", "clic2020-mobile"}:
        folder = tmp_path / name
        folder.mkdir()
        data = json.dumps({"name": "V", "results": GOOD})
        for path in (folder / "vtm.json", tmp_path / f"vtm_{name}.json"):
            path.write_text(data)
            assert load_reference(path).dataset == name


BAD = {
    "infinity": ('{"name":"V","dataset":"kodak","results":{"bpp":[1],"psnr":[Infinity]}}', "Infin"),
    "nan": ('{"name":"V","dataset":"kodak","results":{"bpp":[NaN],"psnr":[1]}}', "NaN"),
    "huge": ('{"name":"V","dataset":"kodak","results":{"bpp":[1],"psnr":[1e999]}}', "inf"),
    "digits": ('{"name":"V","results":{"bpp":[' + "9" * 5000 + "]}}", "digit"),
    "decibels": ({"bpp": [1], "ms-ssim-rgb": [13.9]}, "decibels go under ms-ssim-db-rgb"),
    "negative": ({"bpp": [1], "ms-ssim": [-0.1]}, "must lie in 0 to 1"),
    "exactly one": ({"bpp": [1], "ms-ssim": [1]}, "lossless"),
    "lpips below 0": ({"bpp": [1], "lpips_alex": [-0.1]}, "must lie in 0 to inf"),
    "unequal": ({"bpp": [1, 2], "psnr": [3]}, "psnr has 1 values for 2 rates"),
    "empty": ({"bpp": [], "psnr": []}, "bpp must be a list of numbers"),
    "empty quality": ({"bpp": [1], "psnr": []}, "psnr must be a list of numbers"),
    "rate 0": ({"bpp": [0, 1], "psnr": [3, 4]}, "positive"),
    "rate below 0": ({"bpp": [-1, 1], "psnr": [3, 4]}, "positive"),
    "rate twice": ({"bpp": [1, 1], "psnr": [3, 4]}, "twice"),
    "no list": ({"bpp": 1, "psnr": 3}, "list"),
    "object": ({"bpp": {"a": 1}, "psnr": [3]}, "list"),
    "texts": ({"bpp": ["1"], "psnr": [3]}, "found '1' in it"),
    "booleans": ({"bpp": [True], "psnr": [3]}, "found True in it"),
    "null": ({"bpp": [1], "psnr": [None]}, "found None in it"),
    "nested": ({"bpp": [[1]], "psnr": [3]}, "found [1] in it"),
    "no rate": ({"psnr": [3]}, "bpp must be"),
    "no quality": ({"bpp": [1], "vmaf": [3]}, "no quality that is known here (found: vmaf)"),
    "two curves": ({"bpp": [1], "psnr": [30], "psnr-rgb": [31]}, "two different curves"),
    "results a list": ([1, 2], "results must be an object"),
    "a list": ("[1]", "the file must be an object"),
    "a key twice": ('{"name":"V","name":"W"}', "'name' stands twice"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "no JSON": ("bpp", "Expecting value"),
    "nothing": ("", "Expecting value"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(tmp_path: Path, case: str):
    """In one line that says what was found."""
    results, wanted = BAD[case]

    assert wanted in refused(written(tmp_path / "kodak.json", results))


@pytest.mark.parametrize("change", [{"name": None}, {"name": " "}, {"name": 3}, {"dataset": [1]}])
def test_names_must_be_texts(tmp_path: Path, change: dict):
    """A name that is missing, empty or of another kind is refused."""
    assert "must be a text" in refused(written(tmp_path / "a.json", GOOD, **change))


def test_what_is_no_text_file_is_refused(tmp_path: Path):
    """A folder, a missing file, a pipe, bytes that are no UTF-8, a file that is far too large."""
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "large").write_bytes(b" " * 5_000_000)
    os.mkfifo(tmp_path / "pipe")

    assert "not a file" in refused(tmp_path)
    assert "No such file" in refused(tmp_path / "absent")
    assert "not a file" in refused(tmp_path / "pipe")
    assert "not a text in UTF-8" in refused(tmp_path / "binary")
    assert "larger than" in refused(tmp_path / "large")


def test_a_byte_order_mark_is_fine(tmp_path: Path):
    """As editors on Windows write it."""
    path = tmp_path / "a.json"
    data = {"name": "V", "dataset": "kodak", "results": GOOD}
    path.write_text(json.dumps(data), encoding="utf-8-sig")

    assert load_reference(path).name == "V"


def test_what_is_not_drawn_says_why():
    """Another dataset, a part of one, a metric that was not measured, rates beyond the curves."""
    curve = [(0.5, 30.0), (1.0, 35.0)]
    measured = {"kodak": {"psnr_db": (0.1, 3.0)}, "folder:a/b": {"psnr_db": (2.0, 3.0)}}

    def lines(dataset: str, points: dict, found: dict = measured) -> list[str]:
        return not_drawn([Reference("V", dataset, points)], found)

    assert [] == lines("kodak", {"psnr_db": curve})
    assert ["V: its MS-SSIM (dB) is not drawn: it was not measured"] == lines(
        "kodak", {"ms_ssim_db": curve}
    )
    assert "lie outside of what was measured" in lines("folder:./a/b", {"psnr_db": curve})[0]
    other = lines("sample", {"psnr_db": curve})[0]
    assert other == (
        "V is not drawn: it is of the dataset sample, and the results are of kodak, folder:a/b"
    )
    part = lines("kodak", {"psnr_db": curve}, {"kodak (3 of 24)": {"psnr_db": (0.1, 3.0)}})
    assert "a mean over all images of kodak" in part[0]
    ignored = not_drawn([Reference("V", "kodak", {"psnr_db": curve}, ("psnr-y",))], measured)
    assert ["V: not a metric known here, so not drawn: psnr-y"] == ignored


def test_two_spellings_of_a_folder_are_one_dataset():
    """``folder:mix`` is ``folder:./mix``; a name is not."""
    assert is_of(Reference("V", "folder:mix", {}), "folder:./mix/")
    assert not is_of(Reference("V", "folder:mix", {}), "folder:other/mix")
