"""What is timed: one codec at one setting, in this process, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.codec import Codec, Setting
from bench.errors import DecodeError, EncodeError
from bench.files import write_atomically
from bench.image import Image, load, save
from bench.stopwatch import Phases
from bench.throughput import batches

ENCODE, DECODE = "encode", "decode"
DIRECTIONS = (ENCODE, DECODE)
LOAD, WRITE, OTHER = "load", "write", "other"


@dataclass(frozen=True, slots=True)
class Pass:
    """How long it took to code all images of a pass once.

    Attributes
    ----------
    time_s
        Seconds of the whole pass; the mean where it was repeated at a stretch.
    phases
        Seconds by phase, ``other`` for what the codec did in none; empty if it reports none.
    loops
        How often it was repeated at a stretch.
    """

    time_s: float
    phases: dict[str, float] = field(default_factory=dict)
    loops: int = 1


def _synchronise(device: str) -> Callable[[], object]:
    """Return what waits for a device."""
    if device != "cuda":
        return lambda: None
    import torch

    return torch.cuda.synchronize


class Runner:
    """One codec at one setting over some images, uint8 RGB (H, W, 3), with a clock in seconds."""

    def __init__(
        self,
        codec: Codec,
        setting: Setting,
        images: Sequence[Image],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._codec, self._setting, self._clock = codec, setting, clock
        self._sync = _synchronise(codec.device)
        self._sets = (list(images), [batches.upside_down(image) for image in images])
        self._turn = count()
        self._groups: dict[tuple[int, int], batches.Batches] = {}
        self._files: dict[tuple[int, int], list[list[bytes]]] = {}
        self._decoded: list[Image] = []

    def first(self) -> dict[str, float]:
        """Return the seconds of the first encoding and decoding: weights, compilers and caches."""
        started = self._clock()
        [data] = self._encode(self._sets[0][:1], None)
        self._sync()
        encoded = self._clock()
        self._decode([data], None)
        self._sync()
        return {"first encode": encoded - started, "first decode": self._clock() - encoded}

    def size(self, batch: int) -> tuple[int, float]:
        """Return the number of images of a pass and their megapixels."""
        groups = self._batches(batch, 0)
        return sum(map(len, groups)), batches.megapixels(groups)

    def quality(self) -> tuple[float, float]:
        """Return the mean bpp and PSNR (dB, inf if all are equal) of the images as they are.

        Raises
        ------
        DecodeError
            If a file decodes to another shape.
        """
        from bench import metrics

        psnr, bpps, dbs = metrics.create("psnr"), [], []
        for image in self._sets[0]:
            [data] = self._encode([image], None)
            [decoded] = self._decode([data], None)
            if decoded.shape != image.shape:
                raise DecodeError(f"decoded to {decoded.shape}, wanted {image.shape}")
            bpps.append(8 * len(data) / (image.shape[0] * image.shape[1]))
            dbs.append(psnr(image, decoded))
        return sum(bpps) / len(bpps), sum(dbs) / len(dbs)

    def run(self, direction: str, batch: int, *, loops: int = 1, phases: bool = False) -> Pass:
        """Code all images ``loops`` times; only the codec's calls are inside the clock.

        ``batch`` is images a call. With ``phases`` the pass says where the time goes; on a GPU the
        clock then waits for it at every boundary.
        """
        turns = [next(self._turn) % 2 for _ in range(loops)]
        jobs = [self._job(direction, batch, turn) for turn in turns]
        stopwatch = Phases(self._sync) if phases else None
        self._sync()
        started = self._clock()
        for job in jobs:
            job(stopwatch)
        self._sync()
        time_s = (self._clock() - started) / loops
        if stopwatch is None or not stopwatch.time_s:
            return Pass(time_s, {}, loops)
        found = {name: value / loops for name, value in stopwatch.time_s.items()}
        return Pass(time_s, {**found, OTHER: max(0.0, time_s - sum(found.values()))}, loops)

    def files(self, direction: str, paths: Sequence[Path], folder: Path) -> Pass:
        """Time what lies around the codec: source and result read and written as files.

        Encoding loads the images of ``paths`` and writes files; decoding loads those and writes
        PNG. Files come from and go to the system's cache.
        """
        coded = [folder / f"{i}.bin" for i in range(len(paths))]
        data = [file for [file] in self._coded(1, 0)]
        if direction == DECODE:
            for path, file in zip(coded, data, strict=True):
                path.write_bytes(file)
            self._decoded = self._decoded or [self._decode([file], None)[0] for file in data]
        started = self._clock()
        for source in paths if direction == ENCODE else coded:
            load(source) if direction == ENCODE else source.read_bytes()
        loaded = self._clock()
        if direction == ENCODE:
            for path, file in zip(coded, data, strict=True):
                write_atomically(path, file)
        else:
            for path, image in zip(coded, self._decoded, strict=True):
                save(image, path.with_suffix(".png"))
        ended = self._clock()
        return Pass(ended - started, {LOAD: loaded - started, WRITE: ended - loaded})

    def _job(self, direction: str, batch: int, turn: int) -> Callable[[Phases | None], None]:
        """Return a whole pass as a function of the stopwatch; what it needs is made here."""
        if direction == DECODE:
            files = self._coded(batch, turn)

            def decode(stopwatch: Phases | None) -> None:
                for group in files:
                    self._decode(group, stopwatch)

            return decode
        groups = self._batches(batch, turn)

        def encode(stopwatch: Phases | None) -> None:
            self._files[batch, turn] = [self._encode(group, stopwatch) for group in groups]

        return encode

    def _batches(self, batch: int, turn: int) -> batches.Batches:
        if (batch, turn) not in self._groups:
            self._groups[batch, turn] = batches.batches(self._sets[turn], batch)
        return self._groups[batch, turn]

    def _coded(self, batch: int, turn: int) -> list[list[bytes]]:
        """Return the files of the last encoding pass; encode where there was none."""
        if (batch, turn) not in self._files:
            groups = self._batches(batch, turn)
            self._files[batch, turn] = [self._encode(group, None) for group in groups]
        return self._files[batch, turn]

    def _encode(self, images: list[Image], stopwatch: Phases | None) -> list[bytes]:
        files = self._codec.encode_batch(images, [self._setting] * len(images), stopwatch)
        if len(files) != len(images):
            raise EncodeError(f"{len(images)} images gave {len(files)} files")
        return files

    def _decode(self, files: list[bytes], stopwatch: Phases | None) -> list[Image]:
        images = self._codec.decode_batch(files, stopwatch)
        if len(images) != len(files):
            raise DecodeError(f"{len(files)} files gave {len(images)} images")
        return images
