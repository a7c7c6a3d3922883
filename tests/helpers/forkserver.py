"""Runs ``bench`` for the tests in copies of one process that has imported everything already.

A fresh interpreter takes seconds of processor time for imports, a copy takes milliseconds. The copy
gets arguments, environment, folder and output files of its own, and ends with the exit code of the
command; it has what the server imported and nothing of any test. Started by ``conftest.run_bench``;
speaks lines of JSON on its standard input and output.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from concurrent.futures import Executor, Future
from pathlib import Path

IMPORTED = (
    *(
        "cv2",
        "matplotlib.figure",
        "matplotlib.backends.backend_svg",
        "numpy",
        "pandas",
        "PIL.Image",
    ),
    *("rich.console", "rich.progress", "scipy.interpolate", "skimage", "torch", "typer.core"),
    *("bench.cli", "bench.registry", "bench.report", "bench.gate", "bench.output.write"),
    *("bench.measurement.run", "bench.measurement.executor", "bench.dataset.open"),
    *("bench.report.page", "bench.output.tables", "bench.output.plots", "bench.throughput"),
)
OPTIONAL = ("pillow_avif", "pillow_jxl", "pydantic", "typer._adapters")
"""What codecs and some versions of Typer import at their first use."""


class Here(Executor):
    """Runs each call at once, in this process."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what a pool of processes takes."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        """Return a future that is done."""
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as every executor does
            future.set_exception(error)
        return future


def main() -> None:
    """Answer requests until standard input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    bench = Path(__file__).parents[2] / "bench"
    found = [
        f"bench.{room}.{path.stem}"
        for room in ("codecs", "metrics")
        for path in (bench / room).iterdir()
        if path.suffix in ("", ".py") and not path.stem.startswith("__")
    ]
    for name in (*OPTIONAL, *found):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _run(request)
        answers.write(json.dumps({"pid": pid}) + "\n")
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")


def _run(request: dict) -> None:
    """Be ``python -m bench`` with the words of a request, or its program; never return."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        for number, name in enumerate(("/dev/null", request["out"], request["err"])):
            opened = os.open(name, os.O_RDWR)
            os.dup2(opened, number)
            os.close(opened)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.path[:0] = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        importlib.invalidate_caches()
        sys.argv = ["bench", *request["words"]]
        if not request["plots"]:
            writing = importlib.import_module("bench.output.write")
            write = writing.write
            writing.write = lambda *a, **k: write(*a, **{**k, "plots": False})
        if not request["workers"]:
            for name in ("executor", "head_start"):
                importlib.import_module(f"bench.measurement.{name}").LocalPool = Here
        if "code" in request:
            exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
        else:
            importlib.import_module("bench.cli").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
