"""When a process imports what it needs: without the collector, or while other work is done."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator


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
