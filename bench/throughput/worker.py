"""The process that codes: ``python -m bench.throughput.worker``, driven by lines of JSON.

It imports nothing heavy before it knows its cores and has said that Python runs, so that the
start of the interpreter, the imports and the first image are timed apart. Whatever libraries
print goes to stderr; stdout carries one JSON line per command.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from bench.codec import Codec
    from bench.throughput.nvml import EnergyMeter
    from bench.throughput.runner import Runner


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker codes, where and how; travels as JSON.

    Attributes
    ----------
    codec
        As ``--codec`` says it.
    setting
        JSON.
    device
        ``cpu`` or ``cuda``.
    precision
        Of a learned codec's network; empty without one.
    images
        Paths.
    cores
        Numbers of the cores that it may use; empty: any.
    folder
        For the files that it writes.
    """

    codec: str
    setting: str
    device: str
    precision: str
    images: tuple[str, ...]
    cores: tuple[int, ...]
    folder: str


class Session:
    """A worker's answers, one method a command."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._codec: Codec
        self._runner: Runner
        self._meter: EnergyMeter
        self._cpu_s = 0.0

    def start(self) -> dict[str, Any]:
        """Import, load the images, code the first one; seconds of each."""
        started = time.perf_counter()
        from bench import registry
        from bench.codec import Setting
        from bench.image import load
        from bench.throughput.nvml import EnergyMeter
        from bench.throughput.runner import Runner

        codec = create(self._job.codec, self._job.device, self._job.precision)
        setting = registry.complete(codec, Setting.from_json(self._job.setting))
        import_s = time.perf_counter() - started
        images = [load(path) for path in self._job.images]
        self._codec, self._runner = codec, Runner(codec, setting, images)
        self._meter = EnergyMeter(codec.device)
        return {"import": import_s, **self._runner.first()}

    def quality(self) -> dict[str, Any]:
        """Return bpp and PSNR."""
        bpp, psnr_db = self._runner.quality()
        return {"bpp": bpp, "psnr_db": psnr_db}

    def size(self, batch: int) -> dict[str, Any]:
        """Return images and megapixels of a pass."""
        images, megapixels = self._runner.size(batch)
        return {"images": images, "megapixels": megapixels}

    def mark(self) -> dict[str, Any]:
        """Begin to watch memory, energy and processor time."""
        from bench.throughput import memory

        memory.mark(self._codec.device)
        self._cpu_s = time.process_time()
        self._meter.start()
        return {}

    def used(self) -> dict[str, Any]:
        """Return what was used since ``mark``."""
        from bench.throughput import memory

        return {
            "energy_j": self._meter.stop_j(),
            "cpu_s": time.process_time() - self._cpu_s,
            "peak_host_bytes": memory.peak_host_bytes(),
            "peak_device_bytes": memory.peak_device_bytes(self._codec.device),
        }

    def run(self, direction: str, batch: int, loops: int, phases: bool) -> dict[str, Any]:
        """Time a pass."""
        return asdict(self._runner.run(direction, batch, loops=loops, phases=phases))

    def files(self, direction: str) -> dict[str, Any]:
        """Time reading and writing files."""
        from pathlib import Path

        paths = [Path(path) for path in self._job.images]
        return asdict(self._runner.files(direction, paths, Path(self._job.folder)))


def create(word: str, device: str, precision: str) -> Codec:
    """Return a codec at a precision.

    Raises
    ------
    UsageError
        If it does not have that precision.
    """
    from bench import registry
    from bench.errors import UsageError

    codec = registry.create(registry.Spec.parse(word).name, device)
    if precision and precision not in codec.precisions:
        raise UsageError(
            f"codec {codec.name} cannot compute in {precision}",
            f"It can in {', '.join(codec.precisions) or 'none: it has no network'}.",
        )
    codec.precision = precision
    return codec


COMMANDS = ("start", "quality", "size", "mark", "used", "run", "files")


def answer(session: Session, line: str) -> dict[str, Any]:
    """Return the answer to one command; a failure is an answer with its ``error``."""
    from bench.errors import BenchError

    try:
        command = json.loads(line)
        name = command.pop("command")
        if name not in COMMANDS:
            return {"error": f"no command {name}"}
        found: dict[str, Any] = getattr(session, name)(**command)
    except BenchError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "out of memory"}
    except Exception as error:  # noqa: BLE001 - a codec may raise anything; it costs its own rows
        return {"error": f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"}
    return found


def _say(channel: TextIO, content: dict[str, Any]) -> None:
    channel.write(json.dumps(content) + "\n")
    channel.flush()


def main() -> None:
    """Answer commands until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _say(channel, {})
    content = json.loads(sys.stdin.readline())
    job = Job(**{**content, "images": tuple(content["images"]), "cores": tuple(content["cores"])})
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    session = Session(job)
    for line in sys.stdin:
        _say(channel, answer(session, line))


if __name__ == "__main__":
    main()
