"""Fuzzes every decoder and ``image.load``: ``tox -e fuzz``, or ``python tests/fuzz/fuzz.py``.

Each target runs in a child process with a limit on its memory. The child says which input it is
at before it decodes it, so that after a crash, a kill or a hang (the watchdog) that input is
known and the next child goes on behind it. Every input follows from target, seed and number.

A fault is an exception that is not the suite's own, a crash, a hang, memory over the limit, other
pixels behind a checksum that was not repaired, or a result that is no image.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HANG_S = 30
START_S = 300
"""Until a child has loaded its codec and made its good files."""
MEMORY_MIB = 3000
"""What a decoder may take beyond what its process had when it began; see docs/reliability.md."""


def child(name: str, seed: int, first: int, last: int, keep: Path) -> None:
    """Decode inputs ``first`` to ``last``; write one JSON line for each event."""
    import numpy as np

    sys.path[:0] = [str(HERE)]
    from mutate import mutated
    from targets import make

    from bench.errors import BenchError

    target = make(name)
    golden = [target.decode(data) for data in target.corpus]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (MEMORY_MIB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    peak = start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _say(ready=first)
    decoded = 0
    for number in range(first, last):
        rng = random.Random(f"{name} {seed} {number}")
        which = rng.randrange(len(golden))
        data, repaired = mutated(rng, target.corpus[which], rng.choice(target.corpus), target.form)
        (keep / f"{name}.current").write_bytes(data)
        _say(at=number, decoded=decoded)
        fault = ""
        try:
            pixels = target.decode(data)
            decoded += 1
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                fault = f"no image: {pixels.dtype} {pixels.shape}"
            elif target.checked and not repaired and not _known(pixels, golden):
                fault = "other pixels behind a checksum that does not agree"
        except BenchError:
            pass
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            fault = f"{type(error).__name__}: {error}"
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if used > peak + (8 << 10):
            peak = used
            _say(peak=(peak - start) >> 10, number=number, size_bytes=len(data))
        if fault:
            _say(fault=fault[:300], number=number)
    _say(done=last, decoded=decoded)


def _known(pixels: Any, golden: list[Any]) -> bool:
    """Return whether a decoded picture is one of the good ones (splicing exchanges whole files)."""
    return any(
        pixels.shape == good.shape and abs(pixels.astype(int) - good).max() <= 1 for good in golden
    )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say(**words: object) -> None:
    _write(json.dumps(words))


@dataclass
class Tally:
    """What was found of one target."""

    name: str
    inputs: int = 0
    decoded: int = 0
    peak_mib: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)


def run(name: str, seed: int, count: int, deadline: float, keep: Path) -> Tally:
    """Run children until ``count`` inputs are done or the time is up."""
    tally = Tally(name)
    while tally.inputs < count and time.monotonic() < deadline:
        command = [sys.executable, __file__, "--child", name, str(tally.inputs), str(count)]
        command += ["--seed", str(seed), "--keep", str(keep)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        ) as process:
            if not _watch(process, tally, deadline, keep):
                break
    return tally


def _watch(process: subprocess.Popen[str], tally: Tally, deadline: float, keep: Path) -> bool:
    """Read a child's lines until it ends or hangs; return whether another child shall follow."""
    at, since, ready = tally.inputs, time.monotonic(), False
    before = tally.decoded
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=HANG_S if ready else START_S)
        except queue.Empty:
            process.kill()
            tally.hangs.append(at)
            _keep(keep, tally, at, "hang")
            tally.inputs = at + 1
            return ready
        if not line:
            break
        words = json.loads(line)
        now = time.monotonic()
        if ready and ("at" in words or "done" in words):
            tally.slowest_s = max(tally.slowest_s, now - since)
        if "ready" in words or "at" in words:
            ready, since, at = True, now, words.get("at", at)
            tally.inputs = at
        tally.decoded = before + words.get("decoded", tally.decoded - before)
        if "peak" in words:
            tally.peak_mib = max(tally.peak_mib, words["peak"])
        if "fault" in words:
            tally.faults.append(f"input {words['number']}: {words['fault']}")
            _keep(keep, tally, words["number"], "fault")
        if "done" in words:
            tally.inputs = words["done"]
            return False
        if now > deadline:
            process.kill()
            return False
    code = process.wait()
    tally.faults.append(f"input {at}: the process ended with {code}")
    _keep(keep, tally, at, "crash")
    tally.inputs = at + 1
    return ready


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Pass on a child's lines, and an empty one at their end."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


def _keep(keep: Path, tally: Tally, number: int, kind: str) -> None:
    """Keep the input that is being decoded, to look at later."""
    current = keep / f"{tally.name}.current"
    if current.exists() and len(tally.faults) < 50:
        (keep / f"{tally.name}-{number}.{kind}").write_bytes(current.read_bytes())


def main() -> int:
    """Fuzz all targets, print a table, and return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=40_000, help="of all targets together")
    parser.add_argument("--minutes", type=float, default=10, help="at most, of all together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", help="such as codec-bpg; default all")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="faulty inputs")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    words.keep.mkdir(parents=True, exist_ok=True)
    if words.child:
        name, first, last = words.child
        child(name, words.seed, int(first), int(last), words.keep)
        return 0
    listing = [sys.executable, "-c", "import targets; print(*targets.names())"]
    env = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    found = subprocess.run(listing, env=env, capture_output=True, text=True, check=True)
    chosen = words.target or found.stdout.split()
    begin = time.monotonic()
    bad, total = 0, 0
    _write("| target | inputs | decoded | faults | hangs | slowest s | peak MiB |")
    _write("|---|--:|--:|--:|--:|--:|--:|")
    for k, name in enumerate(chosen):
        left = begin + 60 * words.minutes - time.monotonic()
        deadline = time.monotonic() + left / (len(chosen) - k)
        tally = run(name, words.seed, words.inputs // len(chosen), deadline, words.keep)
        bad, total = bad + len(tally.faults) + len(tally.hangs), total + tally.inputs
        _write(
            f"| {name} | {tally.inputs} | {tally.decoded} | {len(tally.faults)} | "
            f"{len(tally.hangs)} | {tally.slowest_s:.1f} | {tally.peak_mib} |"
        )
        for fault in tally.faults[:5]:
            _write(f"  {fault}")
        (words.keep / f"{name}.current").unlink(missing_ok=True)
    _write(f"{total} inputs, {bad} faults, seed {words.seed}, {time.monotonic() - begin:.0f} s")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
