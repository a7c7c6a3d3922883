"""Cells and curves made by hand: where the lines between equal, moved, better and worse run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.gate import cells
from bench.gate.cells import Change
from bench.gate.curves import judge
from bench.gate.images import Verdict
from bench.gate.rows import Row, by_key
from bench.gate.tolerance import Tolerance

EXACT = Tolerance()
COLUMNS = ["psnr_db", "ms_ssim"]
LEARNED = Tolerance(size_percent=0.05, size_bytes=4)


def row(step: int, *, image: str = "a", size: int | None = None, psnr: float | None = None) -> Row:
    """Return a point of a plausible curve: 6 dB for each doubling of the size."""
    return Row(
        "d",
        image,
        "c",
        "c",
        f'{{"quality":{step}}}',
        "c 1",
        512,
        512,
        "p",
        size if size is not None else 4000 * 2**step,
        {"psnr_db": 30.0 + 6 * step if psnr is None else psnr, "ms_ssim": 0.9 + 0.02 * step},
        {},
        f"bits {image} {step}",
        f"pixels {image} {step}",
    )


def compare(old: Row, new: Row | None, tolerance: Tolerance, drifted=()) -> cells.Cell:
    """Compare by both scores."""
    return cells.compare(old, new, tolerance, COLUMNS, drifted)


def drifted_scores(old, new):
    """Return the columns whose metric changed."""
    return cells.drifted_scores(old, new, COLUMNS)


def shifted(found: Row) -> Row:
    """Return a row whose PSNR is 1 dB higher."""
    return replace(found, scores={**found.scores, "psnr_db": found.scores["psnr_db"] + 1})


def changed(old: Row, *, size: float = 1.0, db: float = 0.0, pixels: str = "other") -> Row:
    """Return ``old`` with other bytes, ``size`` times as large and ``db`` better."""
    return replace(
        old,
        size_bytes=round(old.size_bytes * size),
        scores={**old.scores, "psnr_db": old.scores["psnr_db"] + db},
        bitstream_sha256="other",
        decoded_sha256=pixels,
    )


@pytest.mark.parametrize(
    ("size", "db", "exact", "learned"),
    [
        (1.0, 0.0, Change.EQUAL, Change.EQUAL),
        (1.0, 0.009, Change.EQUAL, Change.EQUAL),
        (1.0, -0.009, Change.EQUAL, Change.EQUAL),
        (1.0, -0.02, Change.WORSE, Change.WORSE),
        (1.0, 0.02, Change.BETTER, Change.BETTER),
        (1.0001, 0.0, Change.WORSE, Change.EQUAL),
        (0.9999, 0.0, Change.BETTER, Change.EQUAL),
        (1.01, 0.0, Change.WORSE, Change.WORSE),
        (1.01, 0.2, Change.MOVED, Change.MOVED),
        (0.99, -0.2, Change.MOVED, Change.MOVED),
        (0.99, 0.2, Change.BETTER, Change.BETTER),
        (1.01, -0.2, Change.WORSE, Change.WORSE),
    ],
)
def test_a_cell_by_size_and_quality(size: float, db: float, exact: Change, learned: Change):
    """A byte more for nothing is worse for a deterministic codec; a learned one has a margin."""
    old = row(3, size=40_000)
    new = changed(old, size=size, db=db)

    assert exact == compare(old, new, EXACT).change
    assert learned == compare(old, new, LEARNED).change


def test_same_pixels_leave_no_margin():
    """Where the decoded pixels are the same, a larger file has no floating point to blame."""
    old = row(3)
    new = changed(old, size=1.0002, pixels=old.decoded_sha256)

    assert Change.WORSE == compare(old, new, LEARNED).change


def test_other_rounding_of_a_network_is_identical():
    """The same file and scores with other pixels: a network rounds so, another codec may not."""
    old = row(3)
    new = replace(old, decoded_sha256="other")

    assert Change.EQUAL == compare(old, new, EXACT).change
    assert Change.IDENTICAL == compare(old, new, replace(LEARNED, listed=("torch", "cpu"))).change


def test_score_that_changed_is_left_out():
    """Without PSNR, whose metric changed, a file that is smaller is judged by MS-SSIM alone."""
    old = row(3)
    new = changed(old, size=0.9, db=-5)

    assert Change.MOVED == compare(old, new, EXACT).change
    assert Change.BETTER == compare(old, new, EXACT, ["psnr_db"]).change


def test_drift_is_proved_by_pixels_or_by_several_codecs():
    """Same pixels and another score prove it; same bytes alone do so over more than one codec."""
    old = by_key([row(1), row(2)])
    moved = by_key([shifted(r) for r in old.values()])
    blind = by_key([replace(r, decoded_sha256="") for r in old.values()])
    two = by_key([*blind.values(), *(replace(r, codec="e") for r in blind.values())])
    both = by_key([shifted(r) for r in two.values()])

    assert ["psnr_db"] == list(drifted_scores(old, moved))
    assert [] == list(drifted_scores(blind, moved))
    assert ["psnr_db"] == list(drifted_scores(two, both))
    assert [] == list(drifted_scores(old, old))


def without_ms_ssim(found: Row) -> Row:
    """Return a row of a picture that is too small for MS-SSIM."""
    return replace(found, width=64, height=64, scores={**found.scores, "ms_ssim": None})


def verdict(pairs: list[tuple[Row, Row]], tolerance: Tolerance = EXACT):
    """Judge pairs of rows as one curve."""
    found = [compare(old, new, tolerance) for old, new in pairs]
    return judge(found, tolerance, COLUMNS, curve="c")


def test_better_curve_excuses_a_byte():
    """3 % smaller at four points and two bytes larger at a fifth is better, not worse."""
    olds = [row(step) for step in range(5)]
    pairs = [(old, changed(old, size=0.97)) for old in olds[:4]]
    pairs.append((olds[4], changed(olds[4], size=1.00004)))
    result = verdict(pairs)

    assert Change.WORSE == result.cells[4].change
    assert Verdict.BETTER == result.verdict


def test_better_curve_excuses_no_broken_point():
    """3 % smaller at four points and 0.5 dB lost at a fifth is worse."""
    olds = [row(step) for step in range(5)]
    pairs = [(old, changed(old, size=0.97)) for old in olds[:4]]
    pairs.append((olds[4], changed(olds[4], db=-0.5)))

    assert Verdict.WORSE == verdict(pairs).verdict


def test_mean_does_not_hide_a_picture():
    """Nine images 2 % better and one 2 % worse: worse, and that one is named."""
    pairs = [
        (old, changed(old, size=1.02 if image == "i7" else 0.98))
        for image in (f"i{k}" for k in range(10))
        for old in [row(step, image=image) for step in range(5)]
    ]
    result = verdict(pairs)

    assert result.bd_rate_percent["psnr_db"] < 0
    assert Verdict.WORSE == result.verdict
    assert ["i7"] == result.failing_images


def test_small_step_along_the_curve_of_a_learned_codec_passes():
    """0.2 % more bytes for 0.02 dB is a slide within the tolerance; 2 % for 0.17 dB is not."""
    olds = [without_ms_ssim(row(step)) for step in range(5)]
    little = [(old, changed(old, size=1.0025, db=0.022)) for old in olds]
    much = [(old, changed(old, size=1.02, db=0.172)) for old in olds]

    assert Verdict.EQUAL == verdict(little, LEARNED).verdict
    assert Verdict.MOVED == verdict(much, LEARNED).verdict


def test_a_decoder_that_rounds_otherwise_has_identical_bytes():
    """Same files whose pixels and scores differ within the tolerance are not called others."""
    olds = [without_ms_ssim(row(step)) for step in range(5)]
    pixels = [
        (
            old,
            replace(old, decoded_sha256="other", scores={"psnr_db": old.scores["psnr_db"] + 2e-5}),
        )
        for old in olds
    ]
    one_file = [*pixels[1:], (olds[0], changed(olds[0], size=1.0002, db=0.0))]

    assert Verdict.PIXELS == verdict(pixels, LEARNED).verdict
    assert Verdict.PIXELS == verdict([*pixels[1:], (olds[0], olds[0])], LEARNED).verdict
    assert Verdict.EQUAL == verdict(one_file, LEARNED).verdict
    assert Verdict.IDENTICAL == verdict([(old, old) for old in olds], LEARNED).verdict


def test_too_few_points_for_a_bd_rate_are_judged_by_themselves():
    """Two points a curve have no BD-rate; a worse point is found all the same."""
    olds = [row(step) for step in range(2)]
    result = verdict([(olds[0], olds[0]), (olds[1], changed(olds[1], size=1.01))])

    assert str(result.bd_rate_percent["psnr_db"]) == "nan"
    assert Verdict.WORSE == result.verdict


def test_gain_at_equal_rate():
    """A point on the curve gains nothing; one beside it gains what it lies above; ends go on."""
    curve = [row(step) for step in range(5)]

    for size in (3000, 4000, 6000, 20_000, 100_000):
        at = 30 + 6 * math.log2(size / 4000)
        assert abs(cells.gain_at_equal_rate(curve, row(1, size=size, psnr=at), "psnr_db")) < 0.05
        better = row(1, size=size, psnr=at + 1)
        assert 0.95 < cells.gain_at_equal_rate(curve, better, "psnr_db") < 1.05
