"""``--reference``: published curves by name, marked as reported, never where they do not fit."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pandas as pd
import pytest
from markupsafe import Markup

from bench.analysis.bjontegaard import Curve, compare
from bench.analysis.published_curves import load_reference
from bench.analysis.published_names import find, published, references
from bench.analysis.summary import Selection
from bench.errors import UsageError
from bench.measurement.results import read_csv
from bench.output import reported_rates
from bench.report import tables

if TYPE_CHECKING:
    from bench.report.dataset_view import Context

KODAK = Path(__file__).resolve().parents[2] / "results" / "kodak"


@pytest.fixture
def kodak(tmp_path: Path) -> Path:
    """Results of JPEG over all of Kodak, without a database."""
    folder = tmp_path / "run"
    folder.mkdir()
    rows = read_csv(KODAK / "rows.csv")
    rows[rows["codec"] == "jpeg"].to_csv(folder / "rows.csv", index=False)
    shutil.copy(KODAK / "run.json", folder)
    return folder


def test_names_are_a_list_and_repeat():
    """A comma separates, a repeated name counts once, spaces do no harm."""
    found = references(["vtm18, elic2022", "vtm18"])

    assert ["VTM 18.0", "ELIC"] == [one.name for one in found]
    assert all(one.source for one in found)


def test_a_mistyped_name_names_the_near_one():
    """Also as the second of a list."""
    with pytest.raises(UsageError, match=r"'elic2023'\. Did you mean elic2022\?"):
        references(["vtm18,elic2023"])


def test_a_file_of_a_name_is_a_file_by_its_path(tmp_path: Path, monkeypatch):
    """``vtm`` is the published curve wherever one is; ``./vtm`` and ``a,b.json`` are files."""
    data = {"name": "mine", "dataset": "kodak", "results": {"bpp": [1, 2], "psnr": [30, 32]}}
    for name in ("vtm", "a,b.json"):
        (tmp_path / name).write_text(json.dumps(data))
    monkeypatch.chdir(tmp_path)

    names = [references([word])[0].name for word in ("vtm", "./vtm", "a,b.json")]

    assert ["VTM (CompressAI)", "mine", "mine"] == names


def test_two_files_of_one_label_are_told_apart(tmp_path: Path):
    """CompressAI names networks for MSE and for MS-SSIM alike."""
    data = {"name": "net", "dataset": "kodak", "results": {"bpp": [1, 2], "psnr": [30, 32]}}
    for name in ("net_mse.json", "net_ms-ssim.json"):
        (tmp_path / name).write_text(json.dumps(data))

    found = references([tmp_path / "net_mse.json", tmp_path / "net_ms-ssim.json"])

    assert ["net [net_mse]", "net [net_ms-ssim]"] == [one.name for one in found]


def test_lists_alone_are_a_curve(tmp_path: Path):
    """As lossy-vae publishes them: no name, no ``results``; other lists are ignored."""
    path = tmp_path / "vtm18_kodak.json"
    path.write_text(json.dumps({"bpp": [0.5, 0.2], "psnr": [34, 30], "lambda": [1, 2], "n": 3}))

    found = load_reference(path)

    assert ("vtm18_kodak", "kodak", ("lambda",)) == (found.name, found.dataset, found.ignored)
    assert {"psnr_db": [(0.2, 30.0), (0.5, 34.0)]} == found.points


def test_the_dataset_of_a_files_meta_counts(tmp_path: Path):
    """CompressAI's own curves of papers say it there."""
    path = tmp_path / "elic.json"
    data = {"name": "x", "meta": {"dataset": "kodak"}, "results": {"bpp": [1], "psnr": [30]}}
    path.write_text(json.dumps(data))

    assert "kodak" == load_reference(path).dataset


def test_the_test_images_of_clic_are_not_its_validation_images(tmp_path: Path):
    """CompressAI's folder has the name of our validation set, and means over the test set."""
    assert not [one.id for one in published().values() if one.dataset == "clic2020-professional"]
    (tmp_path / "clic2020-professional").mkdir()
    path = tmp_path / "clic2020-professional" / "vtm.json"
    data = {"name": "VTM", "results": {"bpp": [0.1], "psnr-rgb": [30.0]}}
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="CompressAI's curves are means over the test images"):
        load_reference(path)

    path.write_text(json.dumps(data | {"dataset": "clic2020-professional"}))
    assert "clic2020-professional" == load_reference(path).dataset


def test_rates_against_a_published_curve(kodak: Path):
    """Of the mean curves; there is no column for an interval, and other datasets have no line."""
    rows = read_csv(kodak / "rows.csv")
    found = reported_rates.rates(rows, references(["jpeg,clic-jpeg"]))
    means = read_csv(KODAK / "summary.csv").query("codec == 'jpeg'")
    ours = Curve(tuple(means["bpp"]), tuple(means["psnr_db"]))
    theirs = Curve(*map(tuple, find("jpeg").values("psnr_db").T))

    assert {"psnr_db", "ms_ssim_db"} == set(found["metric"])
    assert {"kodak"} == set(found["dataset"])
    assert not [name for name in found if name.startswith("ci")]
    rate = found.loc[found["metric"] == "psnr_db", "bd_rate_percent"].item()
    assert compare(theirs, ours).bd_rate_percent == pytest.approx(rate)


def test_the_page_has_them_in_a_table_of_their_own(kodak: Path):
    """Marked, with their source and without an interval; of another dataset nothing."""
    look = SimpleNamespace(label="JPEG", name="JPEG", tag=lambda: Markup("JPEG"))
    chosen = Selection(read_csv(kodak / "rows.csv"))
    context = cast("Context", SimpleNamespace(chosen=chosen, name="kodak", looks={"jpeg": look}))
    found = tables.reported(context, references(["jpeg,clic-vtm"]))

    assert "BD-rate against published curves (reported, not measured), kodak" in found
    assert "JPEG (CompressAI), reported, not measured: CompressAI, published" in found
    assert "interval</" not in found
    assert "VTM" not in found
    assert not tables.reported(context, references(["clic-vtm"]))


def test_no_rate_where_the_means_lack_an_image(kodak: Path):
    """A published curve is a mean over all images: an image that failed is not overlooked."""
    rows = read_csv(kodak / "rows.csv")
    rows.loc[rows["image"] == rows["image"][0], ["error", "bpp"]] = ["crashed", math.nan]

    assert 0 == len(reported_rates.rates(rows, references(["jpeg"])))


def test_tables_mark_them_and_forget_them(bench, kodak: Path):
    """The tables say "reported, not measured" and the source; without the option all is gone."""
    assert 0 == bench("tables", "-o", kodak, "--reference", "jpeg").code
    text = (kodak / "tables" / "kodak_bd_rate.md").read_text()
    rates = pd.read_csv(kodak / "bd_rate_reported.csv")

    assert "kodak: BD-rate against published curves (reported, not measured)" in text
    assert "JPEG (CompressAI), reported, not measured: CompressAI, published results" in text
    assert {"JPEG (CompressAI)"} == set(rates["reference"])
    assert "reported" not in (kodak / "bd_rate.csv").read_text()

    assert 0 == bench("tables", "-o", kodak).code
    assert "published" not in (kodak / "tables" / "kodak_bd_rate.md").read_text()
    assert not (kodak / "bd_rate_reported.csv").exists()


def test_a_curve_of_another_dataset_is_said(bench, kodak: Path):
    """It is in no table, and the terminal says why."""
    done = bench("tables", "-o", kodak, "--reference", "clic-vtm")

    assert (
        "VTM (CompressAI) is not drawn: it is of the dataset clic2020-professional-test"
        in done.stderr
    )
    assert not (kodak / "bd_rate_reported.csv").exists()


@pytest.mark.parametrize("command", ["all", "tables", "plots", "report", "figures"])
def test_every_command_refuses_a_mistyped_name(bench, kodak: Path, command: str):
    """In one line, before anything is measured or written."""
    folder = ["-r", kodak] if command == "figures" else ["-o", kodak]

    assert "Did you mean vtm18?" in bench(command, *folder, "--reference", "vtm19").line
    assert {"rows.csv", "run.json"} == {path.name for path in kodak.iterdir()}


def test_a_run_says_its_rates_against_them(bench, inline, kodak_dir: Path, tmp_path: Path):
    """A run of some images leaves the curve out, and says so."""
    words = ["all", "-d", "kodak", "--image", "kodim01", "-c", "jpeg", "-m", "psnr", "--points", 4]
    done = bench(*words, "-o", tmp_path, "-j", 1, "--json", "--reference", "vtm18")

    assert [] == json.loads(done.stdout)["bd_rates_reported"]
    assert "VTM 18.0 is not drawn: it is a mean over all images of kodak" in " ".join(
        done.stderr.split()
    )


def test_list_references(bench):
    """Each with its source, also for programs."""
    text = bench("list", "--references").stdout
    found = {
        one["id"]: one
        for one in json.loads(bench("list", "--references", "--json").stdout)["references"]
    }

    assert "published curves of kodak (reported, not measured)" in text
    assert "kodak" == found["elic2022"]["dataset"]
    assert all(one["source"] and one["id"] in text for one in found.values())
