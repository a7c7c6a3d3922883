"""In which arithmetic g_a and g_s may run. Importing this does not import torch."""

from __future__ import annotations

from bench.errors import SettingError

NAMES = ("float32", "bfloat16")
"""What a codec's ``precision`` may be, beside empty."""


def named(precision: str, device: str) -> str:
    """Return a precision, or where it is empty the device's default: bfloat16 on CUDA.

    On a CPU the default is float32: other CPUs then make nearly always the same bytes, and always
    the same pixels within one step of 255.

    Raises
    ------
    SettingError
        If there is no such precision.
    """
    if precision and precision not in NAMES:
        raise SettingError(
            f"precision must be one of {', '.join(NAMES)}, found {precision!r}",
            "Leave it empty for the device's default.",
        )
    return precision or NAMES[device.startswith("cuda")]


def fastest(device: str) -> str:
    """Return the quickest precision of a device: bfloat16 wherever there are circuits for it."""
    return NAMES[has_bfloat16(device)]


def has_bfloat16(device: str) -> bool:
    """Return whether a device multiplies bfloat16 numbers itself (AVX512-BF16, AMX, CUDA).

    Elsewhere they are emulated: on AVX2, eight times slower than float32.
    """
    if device.startswith("cuda"):
        return True
    from torch import cpu

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(cpu, probe, lambda: False)() for probe in probes)
