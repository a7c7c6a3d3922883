"""What is committed under ``results/kodak`` reaches the figures that the project promises.

The files are those of the last whole run on Kodak, so this costs nothing and needs no image. The
same is measured afresh by ``tests/benchmarks/test_published_curves.py`` and the codecs' own tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench.codecs.agvae
from bench.analysis import bjontegaard, summary
from bench.analysis.published_names import find
from bench.codecs.agvae.model.config import lambda_at
from bench.measurement.results import load_results, read_csv
from bench.output.write import write

KODAK = Path(__file__).parent.parent / "results" / "kodak"
# CompressAI's results/image/kodak: quality -> bpp, PSNR-RGB, MS-SSIM
WEBP = {
    5: (0.234419, 28.328424, 0.925739),
    15: (0.352865, 29.820851, 0.948504),
    35: (0.567407, 31.935957, 0.967603),
    60: (0.823675, 33.971663, 0.978692),
    80: (1.216314, 36.369046, 0.986899),
    90: (2.010354, 39.556952, 0.993274),
}
JPEG = {5: (0.221153, 23.779895), 15: (0.423126, 28.042246), 40: (0.786027, 31.307827)}


RATES = {
    "jpeg": "quality",
    "webp": "quality",
    "bpg": "qp",
    "agvae": "level",
    "agvae-refined": "level",
}


def curve(codec: str) -> pd.DataFrame:
    """Means of one codec, with its rate parameter as index."""
    frame = read_csv(KODAK / "summary.csv")
    frame = frame[frame["codec"] == codec]
    values = [json.loads(text)[RATES[codec]] for text in frame["setting"]]
    return frame.assign(value=values).set_index("value")


def points(frame: pd.DataFrame) -> bjontegaard.Curve:
    """Rates and PSNR of a curve."""
    return bjontegaard.Curve(tuple(frame["bpp"]), tuple(frame["psnr_db"]))


def test_all_of_kodak_and_no_failure():
    """24 images of each setting, eight settings of a codec and more, refined five; none failed."""
    rows = read_csv(KODAK / "rows.csv")

    assert {24} == set(rows.groupby(["codec", "setting"]).size())
    settings = rows.groupby("codec")["setting"].nunique()
    assert 5 == settings.pop("agvae-refined")
    assert 8 <= settings.min()
    assert {"agvae", "avif", "bpg", "jpeg", "webp"} <= set(rows["codec"])
    assert {""} == set(rows["error"])


@pytest.mark.parametrize("quality", WEBP)
def test_webp_equals_the_published_curve(quality: int):
    """To 0.001 bpp, 0.01 dB and 0.0002 MS-SSIM."""
    row, (bpp, psnr_db, ms_ssim) = curve("webp").loc[quality], WEBP[quality]

    assert bpp == pytest.approx(row["bpp"], abs=0.001)
    assert psnr_db == pytest.approx(row["psnr_db"], abs=0.01)
    assert ms_ssim == pytest.approx(row["ms_ssim"], abs=0.0002)


@pytest.mark.parametrize("quality", JPEG)
def test_jpeg_equals_the_published_rates(quality: int):
    """To 0.3 %; PSNR is at most 0.2 dB higher, by the newer libjpeg."""
    row, (bpp, psnr_db) = curve("jpeg").loc[quality], JPEG[quality]

    assert bpp == pytest.approx(row["bpp"], rel=0.003)
    assert -0.001 <= row["psnr_db"] - psnr_db <= 0.2


def test_bpg_equals_the_published_curve():
    """Within 2 % BD-rate of CompressAI's bpgenc 0.9.8 at 4:4:4, 8 bit, x265."""
    found = find("bpg444").values("psnr_db")
    delta = bjontegaard.compare(bjontegaard.Curve(*map(tuple, found.T)), points(curve("bpg")))

    assert delta.bd_rate_percent is not None
    assert abs(delta.bd_rate_percent) < 2


def test_bpg_equals_the_published_curve_by_ms_ssim_too():
    """Decibels of means against decibels of means: within 1 % BD-rate."""
    found = find("bpg444").values("ms_ssim_db")
    rows = read_csv(KODAK / "rows.csv")
    ours = summary.curve(summary.summarise(rows[rows["codec"] == "bpg"]), "bpg", "ms_ssim_db")
    delta = bjontegaard.compare(*(bjontegaard.Curve(*map(tuple, c.T)) for c in (found, ours)))

    assert -0.9 == pytest.approx(delta.bd_rate_percent, abs=0.1)


@pytest.mark.parametrize(("codec", "percent"), [("agvae", -7.1), ("agvae-refined", -12.8)])
def test_agvae_needs_fewer_bits_than_bpg(codec: str, percent: float):
    """At equal PSNR, measured in the same run, by 7.1 %; refined, by 12.8 %."""
    delta = bjontegaard.compare(points(curve("bpg")), points(curve(codec)))

    assert delta.bd_rate_percent is not None
    assert delta.bd_rate_percent <= percent


def test_refining_loses_nowhere():
    """At every level bits and squared error, weighed as in training, cost less than before."""
    refined = curve("agvae-refined")
    plain = curve("agvae").loc[refined.index]
    lambdas = np.array([lambda_at(level, "mse") for level in refined.index])

    def loss(frame: pd.DataFrame) -> np.ndarray:
        return frame["bpp"] + lambdas * 255**2 * 10 ** (-frame["psnr_db"] / 10)

    assert (loss(refined) < loss(plain)).all()


def test_tables_are_made_from_the_committed_files(tmp_path: Path):
    """``rows.csv`` and ``run.json`` are enough: rows and ceilings come out as they lie here."""
    for name in ("rows.csv", "run.json"):
        (tmp_path / name).write_bytes((KODAK / name).read_bytes())
    write(load_results(tmp_path), plots=False)

    for name in ("rows.csv", "tables/kodak_ceilings.md", "tables/kodak_ceilings.tex"):
        assert (KODAK / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_ablation_is_of_the_committed_variants():
    """Its BD-rates are those of ``results/variants``, and all four variants are there."""
    rows = load_results(KODAK.parent / "variants").rows
    found = pd.read_csv(KODAK.parent / "ablation" / "comparisons.csv", comment="#")
    table = summary.bd_table(rows, "agvae-branch").set_index(["codec", "metric", "method"])
    both = found[(found["anchor"] == "agvae-branch") & (found["test"] == "agvae-gauss")]

    others = {"agvae-cvr", "agvae-scalar", "agvae-conditional"}
    assert {"agvae-branch", "agvae-gauss", "agvae-nogain", "agvae-nogain-gauss"} == {
        *rows["codec"]
    } - others
    assert 3 == len(both)
    for line in both.itertuples():
        rate = table.loc[(line.test, line.metric, "pchip"), "bd_rate_percent"]
        assert rate == pytest.approx(line.bd_rate_percent, abs=0.002)


def test_documents_state_the_committed_savings():
    """What PAPER.md and REFINEMENT.md say of Kodak is what ``bd_rate.csv`` holds."""
    rates = read_csv(KODAK / "bd_rate.csv")
    rates = rates[(rates["anchor"] == "bpg") & (rates["method"] == "pchip")]
    found = rates.set_index(["codec", "metric"])
    by_psnr = {codec: found.loc[codec, "psnr_db"] for codec in ("agvae", "agvae-refined")}
    saved = {codec: f"{-row['bd_rate_percent']:.1f} %" for codec, row in by_psnr.items()}
    whole = {
        codec: f"-{saved[codec]} [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"
        for codec, row in by_psnr.items()
    }
    stated = f"`agvae` {saved['agvae']} and `agvae-refined` {saved['agvae-refined']} as measured"
    beside = f"{whole['agvae-refined']} instead of {whole['agvae']} in PSNR"
    folder = Path(bench.codecs.agvae.__file__).parent

    assert stated in (folder / "PAPER.md").read_text(encoding="utf-8")
    assert beside in (folder / "REFINEMENT.md").read_text(encoding="utf-8")
