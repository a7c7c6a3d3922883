"""Pictures for the viewer: which images, which rates, and as many as a budget holds.

A picture is the decoded bitstream of a row, stored again losslessly (WebP), so that what the page
shows and subtracts is what was measured. That takes ten times the bytes of the bitstream; so the
page takes a few images, of each the rung nearest to a few rates, and says what it left out.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import pandas as pd

from bench.analysis.at_targets import is_rate
from bench.analysis.summary import natural
from bench.codec import Codec
from bench.errors import BenchError
from bench.measurement.kept import is_own_network
from bench.report.choice import busiest_window
from bench.report.decoding import Lanes, cut, decode_checked, done
from bench.report.gallery import Gallery, Scene, Shot
from bench.report.rate_matching import Exact, at_target, matched, target_of
from bench.report.results import Bitstreams, NotStored

RATES = (0.3, 0.15, 0.6, 1.0)
"""Target rates in bpp, the most telling first."""

_STEP = 2.5  # further images come before further rates, but not all of them
_QUICK_S = 8.0  # an encoder that took longer is not started again unasked
_BYTES_A_PIXEL = 1.2  # of a photograph in the page

T = TypeVar("T")

Progress = Callable[[str], object]
Row = Mapping[str, Any]
Key = tuple[str, str, str, str]
Found = Future[tuple[Row, str]]
"""A row, and a note of what could not be done for it."""

Made = tuple[Future[bytes] | None, str]
"""What a picture's WebP will be, or None and the reason why there is none."""


@dataclass(slots=True)
class _Wish:
    """A codec's picture in a group: its row, with a note of what could not be done, and WebP."""

    row: Found
    made: Future[Made]

    @property
    def is_made(self) -> bool:
        """Whether nothing of it has to be waited for."""
        if not self.made.done():  # it comes after the row
            return False
        data = self.made.result()[0]
        return data is None or data.done()


@dataclass(slots=True)
class _Group:
    """An image at a rate by every codec, on its way into the gallery.

    Attributes
    ----------
    dataset, image, aim
        Which; the aim is a rate in bpp or a target of a metric.
    scene, original, note
        The image, its picture, or the reason why it is not available.
    wishes
        Codec -> its picture.
    expected_bytes
        What the group may add to the page.
    """

    dataset: str
    image: str
    aim: float | str
    scene: Scene | None
    original: Future[bytes] | None
    note: str
    wishes: dict[str, _Wish] = field(default_factory=dict)
    expected_bytes: float = 0.0

    @property
    def is_made(self) -> bool:
        """Whether nothing of it has to be waited for."""
        return all(wish.is_made for wish in self.wishes.values())


@dataclass(slots=True)
class Builder:
    """Fills a gallery image by image and rate by rate until the budget is spent.

    Pictures are begun ahead of that, as far as the budget may reach.

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
    lanes
        Where pictures are made.
    """

    rows: pd.DataFrame
    streams: Bitstreams
    budget_bytes: int
    exact: Exact
    every_exact: bool = False
    pairs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    progress: Progress = lambda _: None
    gallery: Gallery = field(default_factory=Gallery)
    lanes: Lanes = field(default_factory=Lanes)
    _scenes: dict[tuple[str, str], Scene] = field(default_factory=dict)
    _shots: dict[Key, int | None] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[Scene | None, Future[bytes] | None, str]] = field(
        default_factory=dict
    )
    _begun: dict[Key, Future[Made]] = field(default_factory=dict)
    _paired: set[str] = field(default_factory=set)

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
        with self.lanes:
            groups = self._ahead([(dataset, image, aim) for _, dataset, image, aim in wanted])
            for number, name in enumerate(named):
                self.progress(f"pictures: {name} ({number + 1} of {len(named)})")
                group = next(groups)
                if not self._take(group):
                    self.gallery.leave_out(f"over the size budget: {', '.join(named[number:])}")
                    break
        self.gallery.scenes = [
            scene for scene in self._scenes.values() if any(scene.rates.values())
        ]
        return self.gallery

    def _ahead(self, wanted: Sequence[tuple[str, str, float | str]]) -> Iterator[_Group]:
        """Yield groups in order, each begun while those before it are made, if it may fit."""
        begun: deque[_Group] = deque()
        for names in wanted:
            begun.append(self._begin(*names))
            while begun and (begun[0].is_made or self._over_budget(begun)):
                yield begun.popleft()
        yield from begun

    def _over_budget(self, begun: Iterable[_Group]) -> bool:
        expected = sum(group.expected_bytes for group in begun)
        return self.gallery.cost_bytes + expected > self.budget_bytes

    def _scene(self, dataset: str, image: str) -> tuple[Scene | None, Future[bytes] | None, str]:
        """Return the scene of an image and its picture, or the reason why there is none."""
        key = (dataset, image)
        if key not in self._seen:
            try:
                pixels = self.streams.original(dataset, image)
            except BenchError as error:
                reason = f"{dataset}: the original of {image} is not available ({error.what})"
                self._seen[key] = None, None, reason
            else:
                window = busiest_window(pixels)
                scene = Scene(dataset, image, pixels, window, 0)
                self._seen[key] = scene, self.lanes.webp(cut(pixels, window)), ""
        return self._seen[key]

    def _targets(self, dataset: str) -> list[float | str]:
        """Return what was searched for on a dataset: rates, or targets of a metric.

        Pictures made to measure hit rates instead.
        """
        mine = self.rows[self.rows["dataset"] == dataset]
        names = sorted({name for name in map(target_of, mine["setting"]) if name}, key=natural)
        if self.every_exact:
            return []
        return [float(name.partition("=")[2]) if is_rate(name) else name for name in names]

    def _begin(self, dataset: str, image: str, aim: float | str) -> _Group:
        """Return a group whose pictures are being made."""
        group = _Group(dataset, image, aim, *self._scene(dataset, image))
        if group.scene is None:
            return group
        of_image = self.rows[(self.rows["dataset"] == dataset) & (self.rows["image"] == image)]
        if isinstance(aim, str):
            rows = _found(at_target(of_image, aim))
        else:
            rows = self._near(group.scene, of_image, aim)
        for codec, row in rows.items():
            group.wishes[codec] = self._wish(group, row)
        if rows:
            self._paired.add(dataset)
        return group

    def _wish(self, group: _Group, row: Found) -> _Wish:
        """Return a picture that is being made; one of a stored row is made once for all groups."""
        scene = group.scene
        assert scene is not None
        expected = _BYTES_A_PIXEL * scene.window[2] * scene.window[3]
        if not row.done():  # of a network: its thread has the row when it comes to the picture
            group.expected_bytes += expected
            made = self.lanes.run(lambda: self._decode(scene, row.result()[0]), network=True)
            return _Wish(row, made)
        known = row.result()[0]
        if _key(known) not in self._begun:
            group.expected_bytes += expected
            self._begun[_key(known)] = self._picture(scene, known)
        return _Wish(row, self._begun[_key(known)])

    def _picture(self, scene: Scene, row: Row) -> Future[Made]:
        """Return what a stored row's picture will be: of a network, what the run kept of it."""
        network = self._is_network(row)
        if network:
            with contextlib.suppress(BenchError):  # decoding says why
                pixels = self.streams.kept(row, scene.pixels)
                if pixels is not None:
                    return done((self.lanes.webp(cut(pixels, scene.window)), ""))
        return self.lanes.run(self._decode, scene, row, network=network)

    def _is_network(self, row: Row) -> bool:
        """Whether a row's codec works in the networks' thread.

        One of another package may count on the thread in which it was imported: what PyTorch is
        told about gradients holds for one thread.
        """
        with contextlib.suppress(BenchError):  # decoding says why
            return is_own_network(self.streams.codec(row))
        return False

    def _take(self, group: _Group) -> bool:
        """Add one group if it fits; return whether there is room for more."""
        if group.note:
            self.gallery.leave_out(group.note)
        scene, original = group.scene, group.original
        if scene is None or original is None or not group.wishes:
            return True  # not available, or no codec comes near the aim on this image
        rows = {codec: self._noted(*wish.row.result()) for codec, wish in group.wishes.items()}
        rate = _rate(group.aim, rows)
        if isinstance(group.aim, str):
            scene.targets[rate] = group.aim
        place = (group.dataset, group.image)
        added = [] if place in self._scenes else [Shot(original.result())]
        keys = {codec: _key(row) for codec, row in rows.items()}
        made: dict[str, bytes] = {}
        fresh = [codec for codec, key in keys.items() if key not in self._shots]
        for codec in fresh:
            data = self._noted(*group.wishes[codec].made.result())
            if data is not None:
                made[codec] = data.result()
        shots = [*added, *(Shot(data, rows[codec]) for codec, data in made.items())]
        if self.gallery.cost_bytes + sum(shot.cost_bytes for shot in shots) > self.budget_bytes:
            return False
        start = len(self.gallery.shots)
        if added:
            scene.original, self._scenes[place] = start, scene
        places = {codec: start + len(added) + n for n, codec in enumerate(made)}
        self._shots |= {keys[codec]: places.get(codec) for codec in fresh}
        self.gallery.shots += shots
        shown = {codec: self._shots[key] for codec, key in keys.items()}
        scene.rates[rate] = {codec: n for codec, n in shown.items() if n is not None}
        return True

    def _noted(self, value: T, note: str) -> T:
        """Return a value, whose note is noted."""
        if note:
            self.gallery.leave_out(note)
        return value

    def _near(self, scene: Scene, of_image: pd.DataFrame, rate: float) -> dict[str, Found]:
        """Return codec -> its row of one image that is shown at a rate."""
        rows = matched(of_image, rate)
        if self.every_exact:
            return {codec: self._exact(scene, row, rate) for codec, row in rows.items()}
        found = _found(rows)
        return found if scene.dataset in self._paired else found | self._equal(scene, rows)

    def _equal(self, scene: Scene, rows: Mapping[str, Row]) -> dict[str, Found]:
        """Return a row at the very rate of the other of the first pair, if one hits it quickly."""
        pair = [codec for codec in self.pairs.get(scene.dataset, ()) if codec in rows]
        for codec, other in [pair, pair[::-1]] if len(pair) > 1 else []:
            with contextlib.suppress(BenchError):  # not available here: another one, or none
                search = type(self.streams.codec(rows[codec])).encode_to_rate
                time_s = float(rows[codec].get("encode_s", math.nan))
                if search is not Codec.encode_to_rate and time_s < _QUICK_S:
                    return {codec: self._exact(scene, rows[codec], float(rows[other]["bpp"]))}
        return {}

    def _exact(self, scene: Scene, near: Row, rate: float) -> Found:
        """Return a row made to measure, or the stored one where the codec cannot choose."""
        of_image = (self.rows["dataset"] == scene.dataset) & (self.rows["image"] == scene.image)

        def make() -> tuple[Row, str]:
            try:
                return self.exact.row(near, self.rows[of_image], scene.pixels, rate), ""
            except BenchError as error:
                return dict(near), f"{near['codec']} at an exact rate: {error.what}"

        return self.lanes.run(make, network=self._is_network(near))

    def _decode(self, scene: Scene, row: Row) -> Made:
        """Return what the shown part of a row's picture will be, or None and the reason."""
        try:
            pixels = decode_checked(self.streams, row, scene.pixels)
            return self.lanes.webp(cut(pixels, scene.window)), ""
        except NotStored as error:  # of all its images, told once
            return None, error.what
        except BenchError as error:
            reason = error.what
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs a picture
            reason = f"unexpected {type(error).__name__}: {error}"
        return None, f"{row['codec']} on {row['image']}: {reason}"


def _found(rows: Mapping[str, Row]) -> dict[str, Found]:
    """Return rows that are there already."""
    return {codec: done((row, "")) for codec, row in rows.items()}


def _key(row: Row) -> Key:
    """Return what two groups would show the same picture of."""
    return str(row["dataset"]), str(row["image"]), str(row["codec"]), str(row["setting"])


def _rate(aim: float | str, rows: Mapping[str, Row]) -> float:
    """Return the rate of a group: of a target's the geometric mean."""
    if not isinstance(aim, str):
        return aim
    logs = [math.log(row["bpp"]) for row in rows.values()]
    return float(f"{math.exp(sum(logs) / len(logs)):.4g}")
