"""``bench`` as a process of its own: where it ends, and with what."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from types import ModuleType
from typing import cast

from bench.cli import main, plugins

_NEW_OBJECTS = 10_000
"""After how many the garbage collector looks at them: most are what modules are made of."""
_FOR_ONE_FILE = ("encode", "decode")
"""Commands whose process codes one file and ends: what only others need is left out."""


def script() -> None:
    """Run the command line, and end the process without unloading what is large.

    The interpreter takes 0.15 s to unload PyTorch, whose memory the system takes back anyway.
    """
    gc.set_threshold(_NEW_OBJECTS)
    if plugins.called(sys.argv[1:]) in _FOR_ONE_FILE:
        _let_threads_sleep()
        if not any("cuda" in word for word in sys.argv):
            _leave_out_cuda()
    ended: list[int] = []  # with this exit code
    atexit.register(_leave, ended)  # first, so it is called last: when threads and others are done
    try:
        main()
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            ended.append(stop.code or 0)
        raise
    ended.append(0)


def _let_threads_sleep() -> None:
    """Let PyTorch's threads sleep where they wait for each other, unless the environment says how.

    Else they spin for some milliseconds after each operator, on cores that other threads of this
    process and other processes want: 0.4 CPU s for one picture. OpenMP's library reads this when
    PyTorch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _leave_out_cuda() -> None:
    """Let PyTorch find no bindings of CUDA, which it imports where they are installed.

    That takes 0.06 s; on a CPU, nothing that a codec calls uses them. PyTorch runs without them,
    as its own code says.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules.setdefault("cuda.bindings", None)  # Python's way to say that there is no such module


def _leave(ended: list[int]) -> None:
    """End at once where nobody is left who has something to do or to say."""
    torch = sys.modules.get("torch")
    watched = sys.gettrace() or sys.getprofile() or "coverage" in sys.modules
    if not ended or torch is None or watched or torch.cuda.is_initialized():
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return  # the interpreter says so, and ends with a code of its own
    os._exit(ended[0])
