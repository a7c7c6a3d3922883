"""Proof by mutation of code: small faults of codecs and metrics, each with its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest

from bench import metrics
from bench.codec import Setting
from bench.codecs.jpeg import Jpeg
from bench.errors import Unavailable
from bench.gate.curves import Verdict
from bench.gate.rows import Locked
from bench.measurement import worker
from bench.metrics import Undefined

ENCODE, DECODE = Jpeg.encode, Jpeg.decode


@pytest.fixture(scope="module")
def small(make_gate):
    """Two crops."""
    return make_gate([(60, 100), (120, 200)])


@pytest.fixture(scope="module")
def locked_small(small) -> Locked:
    """JPEG and WebP on two crops, four rungs each."""
    return small.lock({"jpeg": small.ladder("jpeg", 4), "webp": small.ladder("webp", 4)})


def encodes(change: Callable) -> dict[str, Callable]:
    """Return a JPEG whose encoder sees (image, setting) as ``change`` returns them."""
    return {"encode": lambda self, image, setting: ENCODE(self, *change(image, setting))}


def writes(change: Callable[[bytes], bytes]) -> dict[str, Callable]:
    """Return a JPEG whose files are changed."""
    return {"encode": lambda self, image, setting: change(ENCODE(self, image, setting))}


def decodes(change: Callable) -> dict[str, Callable]:
    """Return a JPEG whose decoded pictures are changed."""
    return {"decode": lambda self, data: change(DECODE(self, data))}


def clipped(image, step: int):
    """Return an image ``step`` brighter."""
    return np.clip(image.astype(int) + step, 0, 255).astype(np.uint8)


def raising(error: BaseException) -> Callable:
    """Return a function that raises."""

    def fails(*_: object) -> None:
        raise error

    return fails


def comment(data: bytes, text: bytes) -> bytes:
    """Return a JPEG with a comment."""
    return data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text + data[2:]


def through_ycbcr(image):
    """Return an image after a conversion to YCbCr and back that truncates."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    luma = np.floor(0.299 * red + 0.587 * green + 0.114 * blue)
    cb, cr = np.floor((blue - luma) / 1.772), np.floor((red - luma) / 1.402)
    rgb = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb]
    return np.clip(np.floor(np.stack(rgb, -1)), 0, 255).astype(np.uint8)


def spot(image):
    """Return an image with one sample in the middle of a picture turned over."""
    other = image.copy()
    other[80:90, 80:90] = 255 - other[80:90, 80:90]
    return other


def remembers() -> dict[str, Callable]:
    """Return a JPEG whose decoder gives the picture before this one."""
    last: list[np.ndarray] = []

    def decode(self, data):
        last.append(DECODE(self, data))
        return last[-2] if len(last) > 1 and last[-2].shape == last[-1].shape else last[-1]

    return {"decode": decode}


calls = count()
WORSE, MOVED, METRIC = ("worse", 1), ("moved", 1), ("metric", 1)
UNKNOWN, BETTER = ("not_comparable", 2), ("better", 0)


@dataclass(frozen=True)
class Mutant:
    """What is patched into JPEG, and what the gate must say of it."""

    patches: dict[str, Callable]
    outcome: tuple[str, int]
    words: str = ""


ENCODERS = {
    "quality + 1": Mutant(
        encodes(lambda i, s: (i, s.replace(quality=s["quality"] + 1))), MOVED, "today quality="
    ),
    "quality - 1": Mutant(
        encodes(lambda i, s: (i, s.replace(quality=max(1, s["quality"] - 1)))), WORSE
    ),
    "quality is ignored": Mutant(encodes(lambda i, s: (i, s.replace(quality=50))), MOVED),
    "progressive": Mutant(encodes(lambda i, s: (i, s.replace(progressive=True))), BETTER),
    "colour channels swapped": Mutant(encodes(lambda i, s: (i[..., ::-1].copy(), s)), WORSE),
    "picture mirrored": Mutant(encodes(lambda i, s: (i[:, ::-1].copy(), s)), WORSE),
    "picture one brighter": Mutant(encodes(lambda i, s: (clipped(i, 1), s)), WORSE),
    "colour conversion truncates": Mutant(encodes(lambda i, s: (through_ycbcr(i), s)), WORSE),
    "seven bits": Mutant(encodes(lambda i, s: (i & 0xFE, s)), WORSE),
    "last row repeated": Mutant(encodes(lambda i, s: (np.concatenate([i[1:], i[-1:]]), s)), WORSE),
    "one column less": Mutant(encodes(lambda i, s: (i[:, :-1].copy(), s)), WORSE, "fails now"),
    "a comment in the file": Mutant(writes(lambda d: comment(d, b"made by me")), WORSE),
    "another comment each time": Mutant(
        writes(lambda d: comment(d, str(next(calls)).encode())), WORSE
    ),
    "a zero behind the file": Mutant(writes(lambda d: d + b"\0"), WORSE),
    "an empty file": Mutant(writes(lambda _: b""), WORSE, "fails now"),
    "half a file": Mutant(writes(lambda d: d[: len(d) // 2]), WORSE),
    "raises": Mutant({"encode": raising(ZeroDivisionError("a bug"))}, WORSE, "ZeroDivisionError"),
    "exits": Mutant({"encode": raising(SystemExit(0))}, WORSE, "fails now"),
    "out of memory": Mutant({"encode": raising(MemoryError())}, WORSE, "fails now"),
    "cannot run any more": Mutant(
        {"__init__": raising(Unavailable("no libjpeg"))}, UNKNOWN, "no libjpeg"
    ),
    "a smaller file": Mutant(encodes(lambda i, s: (i, s.replace(optimize=True))), BETTER),
}
DECODERS = {
    "one brighter": Mutant(decodes(lambda i: clipped(i, 1)), WORSE, "the decoder changed"),
    "one darker": Mutant(decodes(lambda i: clipped(i, -1)), WORSE),
    "one sample of a picture": Mutant(decodes(spot), WORSE),
    "shifted by a pixel": Mutant(decodes(lambda i: np.roll(i, 1, axis=1)), WORSE),
    "channels swapped": Mutant(decodes(lambda i: i[..., ::-1].copy()), WORSE),
    "colour conversion truncates": Mutant(decodes(through_ycbcr), WORSE),
    "one row less": Mutant(decodes(lambda i: i[:-1].copy()), WORSE, "fails now"),
    "floating point": Mutant(decodes(lambda i: i.astype(float)), WORSE, "fails now"),
    "the picture before": Mutant(remembers(), WORSE),
    "raises": Mutant({"decode": raising(IndexError("a bug"))}, WORSE, "IndexError"),
    "exits": Mutant({"decode": raising(SystemExit(0))}, WORSE, "fails now"),
}


LADDERS = {
    "a rung less": (lambda old: old[:-1], MOVED),
    "a rung moved": (lambda old: [*old[:-1], Setting(quality=88)], MOVED),
}


@pytest.mark.parametrize(
    "mutant",
    [*ENCODERS.values(), *DECODERS.values()],
    ids=[*(f"encoder: {n}" for n in ENCODERS), *(f"decoder: {n}" for n in DECODERS)],
)
def test_a_mutated_codec_has_its_verdict(mutant: Mutant, small, locked_small, monkeypatch):
    """A fault of JPEG is found and laid to JPEG; WebP stays identical; crashes get no advice."""
    from bench.gate.report import lines

    for name, patch in mutant.patches.items():
        monkeypatch.setattr(Jpeg, name, patch)
    report = small.check(locked_small)
    verdicts = {result.curve: result.verdict.name.lower() for result in report.curves}
    text = "\n".join(lines(report))

    assert mutant.outcome == (verdicts["jpeg"], report.exit_code)
    assert "identical" == verdicts["webp"]
    assert mutant.words in text
    if "fails now" in text or report.exit_code == 2:
        assert "--update" not in text


@pytest.mark.parametrize("name", LADDERS)
def test_a_mutated_ladder_has_its_verdict(name: str, small, locked_small, monkeypatch):
    """A ladder that changed is a setting that no longer means what it did."""
    change, outcome = LADDERS[name]
    ladder = Jpeg.ladder
    monkeypatch.setattr(Jpeg, "ladder", lambda self: change(ladder(self)))
    report = small.check(locked_small)

    assert outcome == (report.curves[0].verdict.name.lower(), report.exit_code)


class Faulty:
    """A metric whose scores are not what they were."""

    def __init__(self, metric, score: Callable) -> None:
        self.metric, self.score = metric, score

    def __getattr__(self, name: str):
        return getattr(self.metric, name)

    def __call__(self, *images: object) -> float:
        return self.metric(*images)


SCORES = {
    "PSNR is NaN": ("psnr", lambda *_: math.nan, UNKNOWN),
    "PSNR is infinite": ("psnr", lambda *_: math.inf, METRIC),
    "PSNR is undefined": ("psnr", raising(Undefined("a reason")), UNKNOWN),
    "PSNR is constant": ("psnr", lambda *_: 30.0, METRIC),
    "MS-SSIM is NaN": ("ms_ssim", lambda *_: math.nan, UNKNOWN),
    "MS-SSIM is undefined": ("ms_ssim", raising(Undefined("a reason")), UNKNOWN),
    "MS-SSIM is 1": ("ms_ssim", lambda *_: 1.0, METRIC),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_mutated_metric_has_its_verdict(name: str, small, locked_small, monkeypatch):
    """A metric that gives no number can pass nothing; one that gives others is named itself."""
    broken, score, outcome = SCORES[name]
    create = metrics.create
    monkeypatch.setattr(
        worker,
        "_metric",
        lambda wanted: Faulty(create(wanted), score) if wanted == broken else create(wanted),
    )
    report = small.check(locked_small)

    assert {outcome[0]} == {result.verdict.name.lower() for result in report.curves}
    assert outcome[1] == report.exit_code


@pytest.mark.parametrize(("metric", "value"), [("psnr", -math.inf), ("ms_ssim", 1.01)])
def test_impossible_score_fails_its_cells(metric, value, small, locked_small, monkeypatch):
    """An impossible score is a failed cell that cannot be compared, with the reason."""
    create = metrics.create
    monkeypatch.setattr(
        worker,
        "_metric",
        lambda wanted: Faulty(create(wanted), lambda *_: value if wanted == metric else 0.5),
    )
    report = small.check(locked_small)

    assert {Verdict.NOT_COMPARABLE} == {result.verdict for result in report.curves}
    assert all(f"metric {metric} returned {value}" in result.notes[0] for result in report.curves)
    assert 2 == report.exit_code
