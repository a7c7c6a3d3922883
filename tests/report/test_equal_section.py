"""The page of a run that searched opens with its answer at equal quality, or at one rate."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bench.output import match
from bench.report import equal_section
from bench.report.dataset_view import Context

NAMES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}


def _context(*lines: dict[str, Any], means: pd.DataFrame | None = None) -> Any:
    """What a headline is made from: lines of one target, the fewest bytes first."""
    none = pd.DataFrame(columns=["setting"])
    return SimpleNamespace(
        equal=pd.DataFrame(lines),
        marks=NAMES,
        looks=NAMES,
        looks_measured=NAMES,
        metrics=["psnr_db"],
        verdicts=(),
        means=none if means is None else means,
    )


def _line(codec: str, size: float, percent: float = math.nan, **more: Any) -> dict[str, Any]:
    about = {"target": "psnr=32", "anchor": "jpeg", "images": 5, "of": 6, "setting": ""}
    ends = {"low": math.nan, "high": math.nan}
    return {**about, **ends, "codec": codec, "bytes": size, "bytes_percent": percent, **more}


MATCH = {"saved_bytes": 1.0, "target": "psnr of jpeg:quality=80", "setting": "quality 7"}
AS_IS = {"saved_bytes": 1.0, "anchor": "as-is", "setting": ""}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [_line("webp", 50.0, -50.0), _line("jpeg", 100.0, 0.0)],
            "At psnr=32, WebP needs the fewest bits, 50 % fewer than JPEG (5 of 6 images).",
        ),
        (
            [_line("jpeg", 100.0, 0.0), _line("webp", 110.0, 10.0)],
            "At psnr=32, JPEG needs the fewest bits; WebP needs 10.0 % more bits than JPEG (5 of",
        ),
        (
            [_line("webp", 99.0, -1.0, low=-3.0, high=1.0), _line("jpeg", 100.0, 0.0)],
            "1.0 % fewer than JPEG, but the 95 % interval over images includes no difference",
        ),
        (
            [_line("webp", 50.0), _line("avif", 60.0), _line("jpeg", math.nan)],
            "At psnr=32, WebP needs the fewest bits (5 of 6 images).",
        ),
        ([_line("webp", 50.0), _line("jpeg", math.nan)], "At psnr=32 nothing can be compared"),
        (
            [
                _line("as-is", 1.0, **{**MATCH, "setting": ""}),
                _line("webp", 50.0, -50.0, **MATCH),
                _line("jpeg", 100.0, 0.0, **{**MATCH, "setting": ""}),
            ],
            (
                "jpeg quality 80 = webp quality 7. At psnr of jpeg:quality=80, WebP needs the "
                "fewest bits, 50 % fewer than JPEG"
            ),
        ),
        (
            [_line("as-is", 9.0, 0.0, **AS_IS), _line("webp", 18.0, 100.0, **AS_IS)],
            (
                "At psnr=32, no codec needs fewer bits than the files as they are; WebP needs "
                "100 % more bits than the files as they are"
            ),
        ),
    ],
)
def test_the_answer_at_a_target(lines: list[dict[str, Any]], words: str):
    """Who needs the fewest bits and how many fewer than what is compared with, if that is so."""
    assert words in equal_section.headline(_context(*lines))


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        ("jpeg:quality=80", "jpeg quality 80"),
        ("sub/mine.py:Mine:quality=50", "sub/mine.py:Mine quality 50"),
        ("avif:subsampling=4:2:0,quality=50", "avif subsampling 4:2:0,quality 50"),
    ],
)
def test_an_anchor_in_words(anchor: str, words: str):
    """Its name is what was typed, a file too, and its options follow."""
    assert words == match.equation([_line("jpeg", 1.0, target=f"psnr of {anchor}")])


def test_at_one_rate_the_best_comes_first():
    """A rate as a target has qualities, each with the rate that the files really have."""
    lines = [("jpeg", 31.4, 0.997, 1), ("webp", 34.7, 1.0, 1), ("webp", 36.0, 2.0, 2)]
    means = pd.DataFrame(
        {"codec": codec, "psnr_db": psnr, "bpp": bpp, "setting": f'{{"target":"bpp={aim}"}}'}
        for codec, psnr, bpp, aim in lines
    )
    told = equal_section.headline(_context(means=means))

    assert "At bpp=1, by PSNR: WebP 34.70 at 1.000 bpp, JPEG 31.40 at 0.997 bpp." == told
    assert "" == equal_section.headline(_context())


def test_the_viewer_begins_with_the_answer():
    """With what needs the fewest bits, and what it is compared with where that has bits."""
    found = [
        Context.pair.fget(_context(*lines))
        for lines in (
            [_line("webp", 1.0), _line("avif", 2.0), _line("jpeg", 3.0)],
            [_line("jpeg", 1.0), _line("avif", 2.0), _line("webp", 3.0)],
            [_line("as-is", 1.0), _line("webp", 2.0), _line("jpeg", math.nan)],
        )
    ]

    assert [("webp", "jpeg"), ("jpeg", "avif"), ()] == found
