"""What NVIDIA's management library reports, if its Python package is installed: energy, load.

Nothing here raises: no package, no driver or a GPU that reports nothing give None.
"""

from __future__ import annotations

import importlib
from typing import Any


def _library() -> Any:  # noqa: ANN401 - pynvml has no types
    """Return the initialised package, or None."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it reports nothing
        return None
    return library


def _handle(library: Any) -> Any:  # noqa: ANN401 - pynvml has no types
    """Return NVML's handle of torch's current GPU: NVML counts GPUs that torch may not see."""
    import torch

    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return library.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")


def load_percent() -> int | None:
    """Return the share of the last moment in which the first GPU ran a kernel."""
    library = _library()
    if library is None:
        return None
    try:
        return int(library.nvmlDeviceGetUtilizationRates(library.nvmlDeviceGetHandleByIndex(0)).gpu)
    except Exception:  # noqa: BLE001 - it is not reported
        return None


class EnergyMeter:
    """The energy that torch's GPU takes, the whole board, from start to stop; none on a CPU."""

    def __init__(self, device: str) -> None:
        self._library = _library() if device == "cuda" else None
        self._start_mj: int | None = None

    def _counter_mj(self) -> int | None:
        if self._library is None:
            return None
        try:
            return int(self._library.nvmlDeviceGetTotalEnergyConsumption(_handle(self._library)))
        except Exception:  # noqa: BLE001 - GPUs before Volta have no counter
            return None

    def start(self) -> None:
        """Begin."""
        self._start_mj = self._counter_mj()

    def stop_j(self) -> float | None:
        """Return the joules since ``start``; None where unknown or if the counter stood still."""
        end_mj = self._counter_mj()
        if self._start_mj is None or end_mj is None or end_mj <= self._start_mj:
            return None
        return (end_mj - self._start_mj) / 1000
