"""The parent's side: worker processes as one measuring pool."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import IO, Any, Self

from bench.errors import CodecError
from bench.measurement.pool import THREAD_VARIABLES
from bench.throughput.runner import Pass
from bench.throughput.worker import Job

START = ("python", "import", "first encode", "first decode")
"""Phases of a process start."""


HEAP_VARIABLES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
"""Let glibc keep what was freed. Else large buffers go back to the kernel and come again page by
page: half of the time of a JPEG, a sixth of AG-VAE's, in some processes and not in others."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many processes work at once, and the threads of each."""

    processes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Used:
    """What all workers used over some passes; None where unknown."""

    cpu_s: float
    peak_host_bytes: int
    peak_device_bytes: int | None
    energy_j: float | None


class WorkerPool:
    """One worker, or several that work at the same time, each pinned to cores of its own.

    Use it as a context manager; leaving it ends the processes.
    """

    def __init__(self, job: Job, lanes: Lanes) -> None:
        self._job, self.lanes = job, lanes
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        self._workers = [_Worker(self.lanes.threads) for _ in range(self.lanes.processes)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def start(self) -> dict[str, float]:
        """Start the codec in every worker; return the median seconds of each phase of ``START``.

        Raises
        ------
        CodecError
            If the codec cannot start, or a worker died; so for every other method.
        """
        python_s = [worker.wait_for_python() for worker in self._workers]
        for index, worker in enumerate(self._workers):
            cores = _cores(index, self.lanes.threads)
            worker.send(asdict(replace(self._job, cores=cores)))
        phases = self._ask("start")
        found = [{"python": p, **phase} for p, phase in zip(python_s, phases, strict=True)]
        return {name: median(worker[name] for worker in found) for name in START}

    def quality(self) -> tuple[float, float]:
        """Return mean bpp and PSNR in dB."""
        [found] = self._ask("quality", only=1)
        return float(found["bpp"]), float(found["psnr_db"])

    def size(self, batch: int) -> tuple[int, float]:
        """Return images and megapixels of a pass, all workers together."""
        found = self._ask("size", batch=batch)
        return sum(f["images"] for f in found), sum(f["megapixels"] for f in found)

    def mark(self) -> None:
        """Begin to watch memory, energy and processor time."""
        self._ask("mark")

    def used(self) -> Used:
        """Return what was used since ``mark``: sums over the workers."""
        found = self._ask("used")

        def total(name: str) -> Any:  # noqa: ANN401 - a number or None
            values = [worker[name] for worker in found]
            return None if None in values else sum(values)

        names = ("cpu_s", "peak_host_bytes", "peak_device_bytes", "energy_j")
        return Used(*(total(name) for name in names))

    def run(self, direction: str, batch: int, *, loops: int = 1, phases: bool = False) -> Pass:
        """Time a pass: by the worker's own clock; of several from the start to the last one's end.

        Parameters are those of ``Runner.run``.
        """
        started = time.perf_counter()
        found = self._ask("run", direction=direction, batch=batch, loops=loops, phases=phases)
        time_s = (time.perf_counter() - started) / loops
        if len(found) == 1:
            return Pass(**found[0])
        return Pass(time_s, {}, loops)

    def files(self, direction: str) -> Pass:
        """Time reading and writing the files of a pass, in one worker."""
        [found] = self._ask("files", only=1, direction=direction)
        return Pass(**found)

    def _ask(self, command: str, only: int | None = None, **words: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - plain data
        chosen = self._workers[:only]
        for worker in chosen:
            worker.send({"command": command, **words})
        answers = [worker.receive() for worker in chosen]
        for answer in answers:
            if "error" in answer:
                raise CodecError(str(answer["error"]))
        return answers


def _cores(index: int, threads: int) -> tuple[int, ...]:
    """Return the cores of a worker: from the last one down, since the first serves interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    known = sorted(os.sched_getaffinity(0), reverse=True)
    return tuple(sorted(known[index * threads : (index + 1) * threads]))


class _Worker:
    """One process and its pipes."""

    def __init__(self, threads: int) -> None:
        threaded = dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment = {**os.environ, **HEAP_VARIABLES, **threaded}
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.throughput.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def wait_for_python(self) -> float:
        """Return the seconds from the start of the process until its first line."""
        self.receive()
        return time.perf_counter() - self._started

    def send(self, content: dict[str, Any]) -> None:
        pipe = self._pipe(self._process.stdin)
        with contextlib.suppress(BrokenPipeError):  # receive() says that it died
            pipe.write(json.dumps(content) + "\n")
            pipe.flush()

    def receive(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise CodecError(f"its process died ({_reason(self._process.wait())})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def end(self) -> None:
        """Close the pipes; a worker that is still coding is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                self._pipe(pipe).close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _reason(code: int) -> str:
    return f"signal {-code}: a crash, or out of memory" if code < 0 else f"exit code {code}"
