"""Alone on the machine, or told otherwise."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.throughput import idle_check, memory, nvml
from bench.throughput.idle_check import Reading

TICKS = os.sysconf("SC_CLK_TCK")


def readings(*seconds: tuple[float | None, float]):
    """Return a function that gives readings a second apart: (all, own) CPU seconds."""
    given = iter(enumerate(seconds))

    def read() -> Reading:
        at_s, (all_s, own_s) = next(given)
        return Reading(all_s, own_s, float(at_s))

    return read


def test_stat_counts_work_and_not_rest(tmp_path: Path):
    """User, nice, system, interrupts and stolen time; guests are part of user already."""
    stat = tmp_path / "stat"
    stat.write_text(f"cpu  {TICKS} 0 {TICKS} 999999 77 0 0 {TICKS} 5 5\ncpu0 1 1\n")

    assert 3.0 == idle_check.read(stat).all_s


@pytest.mark.parametrize("content", [None, "", "cpu  0 0 0 0 0 0 0 0 0 0\n", "nonsense\n"])
def test_unknown_load_is_no_load(tmp_path: Path, content: str | None):
    """Where the system does not tell, nobody is accused."""
    stat = tmp_path / "stat"
    if content is not None:
        stat.write_text(content)
    found = idle_check.read(stat)

    assert found.all_s is None
    assert 0 == idle_check.others_cores(found, found)


def test_own_work_is_not_others():
    """Neither this process nor its workers count."""
    before, after = Reading(100, 10, 0), Reading(108, 13, 2)

    assert 2.5 == idle_check.others_cores(before, after)
    assert 0.5 == idle_check.others_cores(before, after, ours_s=4)
    assert idle_check.was_busy(before, after, ours_s=4)
    assert not idle_check.was_busy(before, after, ours_s=5)


def test_a_burst_may_end():
    """Three windows; the last quiet one decides."""
    read = readings((0, 0), (1, 0), (1, 0), (1.9, 0), (2, 0), (2.05, 0))

    assert "" == idle_check.load("cpu", pause=lambda _: None, reading=read)


def test_load_says_how_much():
    """A core and a half by others."""
    read = readings(*[(1.5 * k, 0) for k in range(6)])
    found = idle_check.load("cpu", pause=lambda _: None, reading=read)

    assert f"other processes use 1.50 of {os.cpu_count()} cores" == found


def test_gpu_load_counts_on_a_gpu(monkeypatch):
    """Only where the GPU is measured."""
    monkeypatch.setattr(nvml, "load_percent", lambda: 40)

    def load(device: str) -> str:
        quiet = readings((0, 0), (0, 0))
        return idle_check.load(device, pause=lambda _: None, reading=quiet)

    assert "the GPU is 40 % busy" == load("cuda")
    assert "" == load("cpu")


def test_busy_machine_is_refused(monkeypatch):
    """One line, with the way out; allowed, it is what flags the numbers."""
    monkeypatch.setattr(idle_check, "load", lambda _: "other processes use 1.00 of 2 cores")

    with pytest.raises(UsageError, match=r"machine is busy.*--allow-busy"):
        idle_check.claim("cpu", allow_busy=False)
    assert "other processes" in idle_check.claim("cpu", allow_busy=True)


def test_peak_memory_is_that_since_the_mark():
    """An array that came and went raises the peak by its size; a mark forgets it (on Linux)."""
    memory.mark("cpu")
    before = memory.peak_host_bytes()
    with mmap.mmap(-1, 80_000_000) as gone:  # fresh pages, whatever the process holds already
        gone.write(b"x" * len(gone))
    raised = memory.peak_host_bytes()
    memory.mark("cpu")

    assert raised - before > 60_000_000
    assert memory.peak_device_bytes("cpu") is None
    if Path("/proc/self/clear_refs").exists():
        assert memory.peak_host_bytes() < raised - 60_000_000


class Counter:
    """NVML with a counter that tells what the test wants, in mJ."""

    def __init__(self, *values_mj: int) -> None:
        self.values_mj = list(values_mj)

    def nvmlDeviceGetTotalEnergyConsumption(self, _: object) -> int:  # noqa: N802 - NVML's name
        return self.values_mj.pop(0)


@pytest.mark.parametrize(("values_mj", "joules"), [((1000, 4500), 3.5), ((7, 7), None)])
def test_energy(monkeypatch, values_mj, joules):
    """The counter's difference; one that stood still is no measurement, never zero."""
    monkeypatch.setattr(nvml, "_library", lambda: Counter(*values_mj))
    monkeypatch.setattr(nvml, "_handle", lambda _: None)
    meter = nvml.EnergyMeter("cuda")
    meter.start()

    assert joules == meter.stop_j()


def test_no_meter_no_energy(monkeypatch):
    """Without the package, or on the CPU, nobody knows."""
    monkeypatch.setattr(nvml, "_library", lambda: None)
    for device in ("cpu", "cuda"):
        meter = nvml.EnergyMeter(device)
        meter.start()

        assert meter.stop_j() is None
