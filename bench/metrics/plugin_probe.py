"""Find the plug-ins that end or stop the process that loads them, before ours loads them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

_KNOWN = "BENCH_DEADLY_PLUGINS"  # what was found, for our own child processes
_LIMIT_S = 60
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from bench.metrics.plugin_probe import load_all; "
    "load_all(json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)


def deadly(values: Sequence[str], trial: str) -> dict[str, str]:
    """Return why each of these entry points cannot be loaded in a process that must go on.

    They are loaded and made in a process apart: one that exits, crashes or hangs there is found
    with its reason. It takes about as long as loading them does.

    Parameters
    ----------
    values
        The entry points of other packages, as ``module:Class``.
    trial
        ``module:function`` that loads one of them as this process would.
    """
    wanted = sorted(set(values))
    known: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        known = dict(json.loads(os.environ.get(_KNOWN, "{}")))
        if known.get(trial, {}).get("points") == wanted:
            return {str(point): str(reason) for point, reason in known[trial]["deadly"].items()}
    found: dict[str, str] = {}
    waiting = wanted
    while waiting:
        finished, reason = _load(waiting, trial)
        waiting = waiting[finished:]
        if waiting:  # the first of them ended the process
            found[waiting[0]] = reason
            waiting = waiting[1:]
    if wanted:
        os.environ[_KNOWN] = json.dumps({**known, trial: {"points": wanted, "deadly": found}})
    return found


def _load(values: list[str], trial: str) -> tuple[int, str]:
    """Load entry points in one process; return how many it survived, and what it died of."""
    read, write = os.pipe()
    words = [json.dumps(sys.path), json.dumps(values), str(write), trial]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _CODE, *words],
        pass_fds=(write,),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    ) as process:
        os.close(write)
        finished = 0
        reason = ""
        while finished < len(values):
            ready, _, _ = select.select([read], [], [], _LIMIT_S)
            if not ready:
                reason = f"it takes more than {_LIMIT_S} s to load"
            if not ready or not os.read(read, 1):
                break
            finished += 1
        if not reason and finished < len(values):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            reason = f"the process that loaded it died (exit code {process.poll()})"
        os.close(read)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        return finished, reason


def load_all(values: list[str], done: int, trial: str) -> None:
    """Load entry points in this process, and write a byte after each."""
    module, _, name = trial.partition(":")
    try_out = getattr(import_module(module), name)
    for value in values:
        with contextlib.suppress(BaseException):
            try_out(value)
        os.write(done, b".")
    os._exit(0)
