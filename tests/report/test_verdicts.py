"""Sentences follow from numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.analysis import summary
from bench.report import verdicts
from bench.report.bit_allocation import Ledger, Point

NO_CEILINGS = pd.DataFrame({"codec": [], "ceiling_psnr_db": []})
NAMES = {"a": "A", "b": "B", "jpeg": "JPEG"}


def rows_of(curves: dict[str, tuple[list[float], list[float]]], images: int = 6) -> pd.DataFrame:
    """Return rows of curves (rates, PSNRs), a little different on each image."""
    return pd.DataFrame(
        [
            {
                "dataset": "d",
                "image": f"i{image}",
                "codec": codec,
                "label": f"{codec} 4:4:4 (v1)",
                "setting": f'{{"quality":{place}}}',
                "bytes": 1000.0,
                "bpp": rate * (1 + 0.02 * image),
                "psnr_db": value + 0.1 * image,
                "error": "",
            }
            for codec, (rates, values) in curves.items()
            for place, (rate, value) in enumerate(zip(rates, values, strict=True))
            for image in range(images)
        ]
    )


RATES = [0.1, 0.2, 0.4, 0.8, 1.6]
WORSE = [26.0, 29.0, 32.0, 35.0, 38.0]


def test_a_saving_that_depends_on_the_image_is_only_less_there():
    """Where even the worst image saves bits, the sentence says `only`; where it does not, `but`."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    for last, words in ((0.99, "but only 1.0 % fewer bits on i5"), (1.1, "but 10.0 % more bits")):
        factor = np.where(rows["image"] == "i5", last, 0.8)
        rate = rows["bpp"].where(rows["codec"] == "a", rows["bpp"] * factor)
        made = rows.assign(bpp=rate)
        found = verdicts.verdicts(made, summary.bd_table(made, "a", quality=True))
        said = " ".join(verdicts.reasons(made, NO_CEILINGS, Ledger(), NAMES, found))

        assert f"B needs 20 % fewer bits than A on i0, {words}" in said


def test_leads_name_the_crossing():
    """The rate where two straight curves cross parts the two leads."""
    rising = [
        25.0,
        28.75,
        32.5,
        36.25,
        40.0,
    ]  # crosses WORSE at 3.75 k - 1 = 3 k: k = 4/3 doublings
    means = summary.summarise(rows_of({"a": (RATES, WORSE), "b": (RATES, rising)}, images=1))
    first, second = verdicts.leads(means, "psnr_db")

    assert ("a", "b") == (first.codec, second.codec)
    assert pytest.approx(0.1 * 2 ** (4 / 3), rel=0.02) == first.high
    assert first.high == second.low


def test_leads_say_whose_curve_ends():
    """A codec that leads only because the better one has no points there is marked."""
    better = [value + 1 for value in WORSE[:3]]
    worst = [value - 3 for value in WORSE]
    curves = {"a": (RATES, WORSE), "b": (RATES[:3], better), "c": (RATES, worst)}
    first, second = verdicts.leads(summary.summarise(rows_of(curves, images=1)), "psnr_db")

    assert ("b", "") == (first.codec, first.absent)
    assert ("a", "b") == (second.codec, second.absent)
    assert pytest.approx(0.4, rel=0.02) == second.low


def test_leads_need_two_codecs():
    """Rates that one codec covers alone are nobody's lead."""
    means = summary.summarise(rows_of({"a": (RATES, WORSE)}))

    assert () == verdicts.leads(means, "psnr_db")


def test_lower_is_better_for_lpips():
    """The curve with the smaller LPIPS leads."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    rows["lpips_alex"] = np.where(rows["codec"] == "a", 0.2, 0.1) / rows["bpp"]
    (lead,) = verdicts.leads(summary.summarise(rows), "lpips_alex")

    assert "b" == lead.codec


def test_verdict_counts_images_and_bits():
    """Curves 20 % apart in rate on every image: the winner saves that on all of them."""
    cheaper = [0.8 * rate for rate in RATES]
    rows = rows_of({"a": (RATES, WORSE), "b": (cheaper, WORSE)})
    (verdict,) = verdicts.verdicts(rows, summary.bd_table(rows, "a", quality=True))
    told = verdicts.sentence(verdict, NAMES)

    assert ("b", "a") == (verdict.winner, verdict.second)
    assert verdict.clear
    assert (6, 6) == verdict.images_won
    assert "B needs 20 % fewer bits than the next best, A" in told
    assert "B needs the fewest bits at equal PSNR." == verdicts.headline([verdict], NAMES)


def test_a_codec_that_loses_the_direct_comparison_is_no_winner():
    """Best against the anchor, worse than the next one where the two are compared."""
    rows = rows_of({"a": (RATES, WORSE), "b": ([0.8 * rate for rate in RATES], WORSE)})
    curves = {codec: summary.image_curves(of, "psnr_db") for codec, of in rows.groupby("codec")}
    direct = summary.delta(curves["b"], curves["a"], "psnr_db")
    verdict = verdicts.Verdict("psnr_db", "a", "b", direct, ())
    told = verdicts.sentence(verdict, NAMES)

    assert "A and B cannot be ranked at equal PSNR." == verdicts.headline([verdict], NAMES)
    assert "the fewest bits against the anchor, but 25 % more bits than B where these" in told
    assert "" == verdicts.loss_sentence(verdict, NAMES)
    other = verdicts.Verdict("ms_ssim_db", "b", "a", summary.delta(*curves.values(), "psnr_db"), ())
    assert [] == verdicts._disagreement([verdict, other], NAMES)


def test_unsettled_is_not_called_a_win():
    """Where some images favour one and some the other, no clear winner is named."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    sign = rows["image"].isin(["i0", "i2", "i4"]).map({True: 1.0, False: -0.9})
    rows.loc[rows["codec"] == "b", "psnr_db"] += sign[rows["codec"] == "b"]
    (verdict,) = verdicts.verdicts(rows, summary.bd_table(rows, "a", quality=True))

    assert not verdict.clear
    assert "not clearly" in verdicts.headline([verdict], NAMES)
    assert "not settled" in verdicts.sentence(verdict, NAMES)


def test_equal_curves_have_no_winner():
    """Two codecs of one curve: neither is said to need fewer bits."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    found = verdicts.verdicts(rows, summary.bd_table(rows, "a", quality=True))

    assert "A and B need equally many bits at equal PSNR." == verdicts.headline(found, NAMES)
    assert "A and B need equally many bits." == verdicts.sentence(found[0], NAMES)
    assert [] == verdicts.reasons(rows, NO_CEILINGS, Ledger(), NAMES, found)


def test_nothing_comparable():
    """Curves without common quality yield no winner, and the page says so."""
    far = [value - 30 for value in WORSE]
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, far)})
    found = verdicts.verdicts(rows, summary.bd_table(rows, "a", quality=True))

    assert "No winner can be named: no two curves can be compared." == verdicts.headline(
        found, NAMES
    )


def test_reasons_name_chroma_and_overhead():
    """Half-resolution colour and the share of headers are told with their numbers."""
    rows = rows_of({"a": (RATES, WORSE), "jpeg": (RATES, WORSE)})
    rows["label"] = rows["codec"].map({"a": "a 4:4:4 (v1)", "jpeg": "jpeg 4:2:0 (v1)"})
    ceilings = pd.DataFrame({"codec": ["a", "jpeg"], "ceiling_psnr_db": [math.inf, 41.26]})
    point = Point("{}", 0.1, 1000.0, {}, {"header": 100.0, "payload": 900.0})
    plain = Point("{}", 0.1, 1000.0, {}, {"header": 10.0, "payload": 990.0})
    ledger = Ledger({"a": [plain], "jpeg": [point]}, ["i0"])
    chroma, overhead = verdicts.reasons(rows, ceilings, ledger, NAMES, [])

    assert "JPEG stores colour at half resolution" in chroma
    assert "resolution (4:2:0), the others do not." in chroma
    assert "41.3 dB for JPEG" in chroma
    assert "10 % in JPEG" in overhead.replace("10.0", "10")
    assert "1.0 % in A" in overhead


def test_nothing_is_said_of_the_colour_of_a_codec_that_says_nothing():
    """A program's label may hide 4:2:0 in words of its own, so 'the others' would be a guess."""
    rows = rows_of({"a": (RATES, WORSE), "jpeg": (RATES, WORSE), "b": (RATES, WORSE)})
    labels = {"a": "a RGB (v1)", "jpeg": "jpeg 4:2:0 (v1)", "b": "b sample 2x2 (v1)"}
    rows["label"] = rows["codec"].map(labels)
    ceilings = pd.DataFrame({"codec": ["a", "jpeg"], "ceiling_psnr_db": [math.inf, 41.26]})
    (chroma,) = verdicts.reasons(rows, ceilings, Ledger({}, []), NAMES, [])

    assert chroma.startswith("JPEG stores colour at half resolution (4:2:0), A does not.")
    unknown = rows[rows["codec"] != "a"]
    assert [] == verdicts.reasons(unknown, ceilings, Ledger({}, []), NAMES, [])


@pytest.mark.parametrize(
    ("percent", "text"),
    [(-9.21, "9.2 % fewer bits"), (67.8, "68 % more bits"), (-0.04, "0.0 % fewer bits")],
)
def test_change(percent: float, text: str):
    """A delta in words keeps its direction."""
    assert text == verdicts.change(percent)


def test_losses_are_named_worst_first():
    """The card says on which images the winner needs more bits, the worst first."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    factor = rows["image"].map({"i2": 1.03, "i4": 1.2}).fillna(0.7)
    made = rows.assign(bpp=rows["bpp"].where(rows["codec"] == "a", rows["bpp"] * factor))
    (found,) = verdicts.verdicts(made, summary.bd_table(made, "a", quality=True))

    assert "B needs more than A on i4 (+20.0 %), i2 (+3.0 %)." == verdicts.loss_sentence(
        found, NAMES
    )
    (clean,) = verdicts.verdicts(
        rows, summary.bd_table(rows.assign(bpp=rows["bpp"]), "a", quality=True)
    )
    assert "" == verdicts.loss_sentence(clean, NAMES)


def test_only_measured_metrics_are_named():
    """Where metrics disagree, the sentence explains those of the run and no other."""
    rows = rows_of({"a": (RATES, WORSE), "b": (RATES, WORSE)})
    rows["psnr_db"] += np.where(rows["codec"] == "a", 1.0, 0.0)
    rows["ms_ssim"] = 1 - np.where(rows["codec"] == "a", 0.2, 0.1) / (10 * rows["bpp"])
    found = verdicts.verdicts(rows, summary.bd_table(rows, "a", quality=True))
    (said,) = verdicts.reasons(rows, NO_CEILINGS, Ledger(), NAMES, found)[-1:]

    assert "PSNR judges squared errors and MS-SSIM judges structure." in said
    assert "LPIPS" not in said
