"""When a process imports what it needs: without the collector, or while other work is done."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Import what a process needs: nothing of it is garbage, now or later.

    Looking for some takes a tenth of the time, and as long again at each look after that.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class Meanwhile:
    """Imports in a thread while other work is done.

    Parameters
    ----------
    imports
        What imports. Its errors are dropped: who needs the modules imports them again.
    """

    def __init__(self, imports: Callable[[], object]) -> None:
        self._imports = imports
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self) -> None:
        """Return when it is done, or was never started."""
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        with contextlib.suppress(Exception), without_collector():
            self._imports()


@cache
def load_torch_libraries() -> threading.Thread | None:
    """Load PyTorch's libraries in a thread, once; return it, or None where that is not done.

    PyTorch's import, which finds them loaded then, holds the interpreter's lock while it loads
    them, a third of a second; the thread does not. Whoever imports or loads another library
    meanwhile waits. Where something is missing, the import says what. The process does not end
    before the thread has: unloading libraries that are being loaded could crash it.
    """
    chosen = os.environ.keys() & {"LD_LIBRARY_PATH", "TORCH_USE_RTLD_GLOBAL"}
    if sys.platform != "linux" or "torch" in sys.modules or chosen:
        return None  # PyTorch looks at the environment in ways of its own
    found = importlib.util.find_spec("torch")
    if found is None or not found.origin:
        return None
    thread = threading.Thread(target=_load_libraries, args=(Path(found.origin).parent / "lib",))
    thread.start()
    return thread


def _load_libraries(folder: Path) -> bool:
    """Load what PyTorch's import loads first, in its order; return whether that was possible."""
    load = getattr(ctypes.CDLL(None), "dlopen", None)  # unlike CDLL(path) without Python's lock
    if load is None:
        return False
    load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    shared = load(os.fsencode(folder / "libtorch_global_deps.so"), os.RTLD_NOW | os.RTLD_GLOBAL)
    return bool(shared and load(os.fsencode(folder / "libtorch.so"), os.RTLD_NOW))
