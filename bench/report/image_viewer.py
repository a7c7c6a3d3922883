"""Pictures for the viewer: which images, which rates, and as many as a budget holds.

A picture is the decoded bitstream of a row, stored again losslessly (WebP), so that what the page
shows and subtracts is what was measured. That takes ten times the bytes of the bitstream; so the
page takes a few images, of each the rung nearest to a few rates, and says what it left out.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PILImage

from bench.analysis.at_targets import is_rate
from bench.analysis.summary import natural, succeeded
from bench.codec import Codec
from bench.errors import BenchError, DecodeError
from bench.image import MAX_MEGAPIXELS, Image, max_pixels
from bench.measurement.provenance import cpu_count
from bench.metrics import create as metric
from bench.report.rate_matching import Exact, at_target, matched, target_of
from bench.report.results import Bitstreams, NotStored

RATES = (0.3, 0.15, 0.6, 1.0)
"""Target rates in bpp, the most telling first."""

MAX_IMAGES = 6
"""How many images of a dataset the viewer offers."""

_FAMOUS = ("kodim04", "kodim20", "kodim05", "kodim15", "kodim13", "kodim23")
_WINDOW = (768, 512)
_STEP = 2.5  # further images come before further rates, but not all of them
_TOLERANCE_DB = 0.01
_QUICK_S = 8.0  # an encoder that took longer is not started again unasked

Progress = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture in the page: the original, or what a codec made of it at one rung."""

    data: bytes
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost_bytes(self) -> int:
        """What it adds to the page: base64 and its tags."""
        return 4 * math.ceil(len(self.data) / 3) + 80


@dataclass(slots=True)
class Scene:
    """An image of the viewer.

    Attributes
    ----------
    dataset, image
        Which.
    pixels
        The original, whole.
    window
        x, y, width, height of the part that is shown.
    original
        Index of its picture.
    rates
        Target bpp -> codec -> index of the picture at the nearest rung.
    targets
        Of a run that searched: one of ``rates`` -> the target that its pictures hit.
    """

    dataset: str
    image: str
    pixels: Image
    window: tuple[int, int, int, int]
    original: int
    rates: dict[float, dict[str, int]] = field(default_factory=dict)
    targets: dict[float, str] = field(default_factory=dict)


@dataclass(slots=True)
class Gallery:
    """All pictures of a page, and what it lacks."""

    scenes: list[Scene] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def cost_bytes(self) -> int:
        """What the pictures add to the page."""
        return sum(shot.cost_bytes for shot in self.shots)

    def leave_out(self, reason: str) -> None:
        """Note once what is not in the page."""
        if reason not in self.left_out:
            self.left_out.append(reason)


def choose_images(rows: pd.DataFrame, wanted: Sequence[str], count: int = MAX_IMAGES) -> list[str]:
    """Return the images to show of one dataset, most telling first.

    Those of ``wanted`` that it has; without any, the ones that papers show, then images spread
    evenly from the easiest to the hardest by their mean rate.
    """
    cost = succeeded(rows).groupby("image")["bpp"].mean()
    known = sorted((str(name) for name in cost.index), key=natural)
    if wanted:
        return [name for name in wanted if name in known]
    chosen = [name for name in _FAMOUS if name in known][:count]
    others = sorted((n for n in known if n not in chosen), key=lambda name: (cost[name], name))
    places = np.linspace(0, len(others) - 1, min(count - len(chosen), len(others)))
    chosen += [others[round(place)] for place in places]
    return chosen


def busiest_window(pixels: Image, size: tuple[int, int] = _WINDOW) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the part to show: all, or where most detail is.

    A portrait is given a window upright; detail is the sum of absolute differences of neighbours.
    """
    height, width = pixels.shape[:2]
    if width * height <= 1.1 * size[0] * size[1]:
        return 0, 0, width, height
    wanted = size if width >= height else size[::-1]
    w, h = min(width, wanted[0]), min(height, wanted[1])
    gray = pixels.astype(np.float32).mean(axis=2)
    detail = np.zeros((height + 1, width + 1))
    detail[1:height, 1:width] = np.abs(np.diff(gray, axis=0))[:, :-1]
    detail[1:height, 1:width] += np.abs(np.diff(gray, axis=1))[:-1]
    total = detail.cumsum(axis=0).cumsum(axis=1)
    sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    y, x = np.unravel_index(int(sums[::8, ::8].argmax()), sums[::8, ::8].shape)
    return 8 * int(x), 8 * int(y), w, h


def to_webp(pixels: Image) -> bytes:
    """Return ``pixels`` as lossless WebP; method 2 takes a third longer for 1.6 % less."""
    buffer = BytesIO()
    how = {"lossless": True, "exact": True, "method": 1, "quality": 10}
    PILImage.fromarray(pixels).save(buffer, "WEBP", **how)
    return buffer.getvalue()


@contextlib.contextmanager
def _claim_bounded(pixels: int) -> Iterator[None]:
    """Refuse files that claim far more pixels than their picture has: they are a stranger's."""
    before = os.environ.get(MAX_MEGAPIXELS)
    most = min(max_pixels(), 4 * pixels + 1_000_000)  # decoders count what they pad
    os.environ[MAX_MEGAPIXELS] = repr(most / 1e6)
    try:
        yield
    finally:
        del os.environ[MAX_MEGAPIXELS]
        if before is not None:
            os.environ[MAX_MEGAPIXELS] = before


def decode_checked(streams: Bitstreams, row: Mapping[str, Any], original: Image) -> Image:
    """Return what a row's file decodes to, if it is still the picture that was measured.

    Raises
    ------
    BenchError
        If the file cannot be had or decoded, or its PSNR is not the one of the row.
    """
    with _claim_bounded(original.shape[0] * original.shape[1]):
        decoded = streams.codec(row).decode(streams.get(row))
    if decoded.shape != original.shape:
        raise DecodeError(f"decoded to {decoded.shape}, wanted {original.shape}")
    measured = float(row.get("psnr_db", math.nan))
    found = metric("psnr")(original, decoded)
    if math.isnan(measured) or found == measured or abs(found - measured) <= _TOLERANCE_DB:
        return decoded
    raise DecodeError(
        f"decodes to another picture than was measured: PSNR {found:.2f} dB here, {measured:.2f} "
        "dB then"
    )


@dataclass(slots=True)
class Builder:
    """Fills a gallery image by image and rate by rate until the budget is spent.

    Attributes
    ----------
    rows, streams
        What was measured.
    budget_bytes
        What the pictures may add to the page.
    exact
        Makes files of a wanted rate.
    every_exact
        Whether every picture is of such a file.
    pairs
        Dataset -> the two codecs that are shown first: they are shown at equal rates, if one of
        them hits any rate quickly.
    progress, gallery
        Told what is done; what is filled.
    """

    rows: pd.DataFrame
    streams: Bitstreams
    budget_bytes: int
    exact: Exact
    every_exact: bool = False
    pairs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    progress: Progress = lambda _: None
    gallery: Gallery = field(default_factory=Gallery)
    _scenes: dict[tuple[str, str], Scene | None] = field(default_factory=dict)
    _shots: dict[tuple[str, str, str, str], int | None] = field(default_factory=dict)

    def fill(self, images: Mapping[str, Sequence[str]], rates: Sequence[float]) -> Gallery:
        """Take groups of pictures (an image at a rate by every codec) while they fit.

        Parameters
        ----------
        images
            Dataset -> its images, the most important first.
        rates
            Target bpp, the most important first; empty: ``RATES``, or of a run that searched, its
            targets.
        """
        wanted: list[tuple[float, str, str, float | str]] = []
        for dataset, names in images.items():
            aims = [*rates] or self._targets(dataset) or [*RATES]
            for (place, image), (step, aim) in product(enumerate(names), enumerate(aims)):
                wanted.append((place + _STEP * step, dataset, image, aim))
        wanted.sort(key=lambda group: group[0])
        named = [
            f"{image} at {aim if isinstance(aim, str) else f'{aim:g} bpp'}"
            for _, _, image, aim in wanted
        ]
        for number, (_, dataset, image, aim) in enumerate(wanted):
            self.progress(f"pictures: {named[number]} ({number + 1} of {len(wanted)})")
            if not self._take(dataset, image, aim):
                self.gallery.leave_out(f"over the size budget: {', '.join(named[number:])}")
                break
        self.gallery.scenes = [
            scene for scene in self._scenes.values() if scene and any(scene.rates.values())
        ]
        return self.gallery

    def _scene(self, dataset: str, image: str) -> tuple[Scene | None, list[Shot]]:
        """Return the scene of an image, made if need be, and the pictures that it adds."""
        key = (dataset, image)
        if key in self._scenes:
            return self._scenes[key], []
        try:
            pixels = self.streams.original(dataset, image)
        except BenchError as error:
            self._scenes[key] = None
            self.gallery.leave_out(
                f"{dataset}: the original of {image} is not available ({error.what})"
            )
            return None, []
        window = busiest_window(pixels)
        shot = Shot(to_webp(_cut(pixels, window)))
        return Scene(dataset, image, pixels, window, len(self.gallery.shots)), [shot]

    def _targets(self, dataset: str) -> list[float | str]:
        """Return what was searched for on a dataset: rates, or targets of a metric.

        Pictures made to measure hit rates instead.
        """
        mine = self.rows[self.rows["dataset"] == dataset]
        names = sorted({name for name in map(target_of, mine["setting"]) if name}, key=natural)
        if self.every_exact:
            return []
        return [float(name.partition("=")[2]) if is_rate(name) else name for name in names]

    def _take(self, dataset: str, image: str, aim: float | str) -> bool:
        """Add one group if it fits; return whether there is room for more."""
        scene, added = self._scene(dataset, image)
        if scene is None:
            return True
        of_image = (self.rows["dataset"] == dataset) & (self.rows["image"] == image)
        if isinstance(aim, str):
            rows = at_target(self.rows[of_image], aim)
            logs = [math.log(row["bpp"]) for row in rows.values()]
            rate = float(f"{math.exp(sum(logs) / max(len(logs), 1)):.4g}")
            scene.targets[rate] = aim
        else:
            rate, rows = aim, self._near(scene, self.rows[of_image], aim)
        if not rows:  # no codec comes near it on this image
            return True
        keys = {codec: (dataset, image, codec, str(row["setting"])) for codec, row in rows.items()}
        fresh = [codec for codec, key in keys.items() if key not in self._shots]
        shots = {codec: self._decode(scene, rows[codec]) for codec in fresh}
        with ThreadPoolExecutor(cpu_count()) as pool:  # Pillow lets go of the interpreter
            coded = pool.map(to_webp, [p for p in shots.values() if p is not None])
        made = [codec for codec in fresh if shots[codec] is not None]
        added += [Shot(data, rows[codec]) for codec, data in zip(made, coded, strict=True)]
        cost = sum(shot.cost_bytes for shot in added)
        if self.gallery.cost_bytes + cost > self.budget_bytes:
            return False
        start = len(self.gallery.shots) + len(added) - len(made)
        places = {codec: start + made.index(codec) if codec in made else None for codec in fresh}
        self._shots |= {keys[codec]: place for codec, place in places.items()}
        self.gallery.shots += added
        self._scenes[dataset, image] = scene
        shown = {codec: self._shots[key] for codec, key in keys.items()}
        scene.rates[rate] = {codec: n for codec, n in shown.items() if n is not None}
        return True

    def _near(self, scene: Scene, of_image: pd.DataFrame, rate: float) -> dict[str, dict[str, Any]]:
        """Return codec -> its row of one image that is shown at a rate."""
        rows = matched(of_image, rate)
        if self.every_exact:
            return {codec: self._exact(scene, row, rate) for codec, row in rows.items()}
        if not any(key[0] == scene.dataset for key in self._shots):
            rows |= self._equal(scene, rows)
        return rows

    def _equal(
        self, scene: Scene, rows: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Return a row at the very rate of the other of the first pair, if one hits it quickly."""
        pair = [codec for codec in self.pairs.get(scene.dataset, ()) if codec in rows]
        for codec, other in [pair, pair[::-1]] if len(pair) > 1 else []:
            with contextlib.suppress(BenchError):  # not available here: another one, or none
                search = type(self.streams.codec(rows[codec])).encode_to_rate
                time_s = float(rows[codec].get("encode_s", math.nan))
                if search is not Codec.encode_to_rate and time_s < _QUICK_S:
                    return {codec: self._exact(scene, rows[codec], float(rows[other]["bpp"]))}
        return {}

    def _exact(self, scene: Scene, near: Mapping[str, Any], rate: float) -> dict[str, Any]:
        """Return a row made to measure, or the stored one where the codec cannot choose."""
        try:
            of_image = (self.rows["dataset"] == scene.dataset) & (self.rows["image"] == scene.image)
            return self.exact.row(near, self.rows[of_image], scene.pixels, rate)
        except BenchError as error:
            self.gallery.leave_out(f"{near['codec']} at an exact rate: {error.what}")
            return dict(near)

    def _decode(self, scene: Scene, row: Mapping[str, Any]) -> Image | None:
        """Return the shown part of a row's picture; None, its reason noted, if there is none."""
        try:
            return _cut(decode_checked(self.streams, row, scene.pixels), scene.window)
        except NotStored as error:  # of all its images, told once
            self.gallery.leave_out(error.what)
            return None
        except BenchError as error:
            reason = error.what
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs a picture
            reason = f"unexpected {type(error).__name__}: {error}"
        self.gallery.leave_out(f"{row['codec']} on {row['image']}: {reason}")
        return None


def _cut(pixels: Image, window: tuple[int, int, int, int]) -> Image:
    x, y, w, h = window
    return np.ascontiguousarray(pixels[y : y + h, x : x + w])
