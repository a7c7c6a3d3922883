"""Alone on the machine, or flagged."""

from __future__ import annotations

import mmap
import os
import time
from collections import namedtuple
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.throughput import idle_check, memory, nvml
from bench.throughput.idle_check import Reading


def readings(*seconds: tuple[float | None, float]):
    """Return a function that gives readings a second apart: (all, own) CPU seconds."""
    given = iter(enumerate(seconds))

    def read() -> Reading:
        at_s, (all_s, own_s) = next(given)
        return Reading(all_s, own_s, float(at_s))

    return read


Times = namedtuple(  # noqa: PYI024 - as psutil returns it
    "Times", "user nice system idle iowait irq softirq steal guest guest_nice"
)


def test_load_is_work_and_not_rest(monkeypatch):
    """User, nice, system, interrupts and stolen time; guests are part of user already."""
    times = Times(1, 0.5, 1, 999, 77, 0.25, 0.25, 2, 0.5, 0.5)
    monkeypatch.setattr(idle_check.psutil, "cpu_times", lambda: times)

    assert 5.0 == idle_check.read().all_s


@pytest.mark.parametrize("found", [OSError("hidden"), Times(*[0.0] * 10)])
def test_unknown_load_is_no_load(monkeypatch, found):
    """Where the system does not say, no other process is blamed."""

    def cpu_times() -> Times:
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(idle_check.psutil, "cpu_times", cpu_times)
    reading = idle_check.read()

    assert reading.all_s is None
    assert 0 == idle_check.others_cores(reading, reading)


def test_this_machine_counts():
    """A tenth of a second of work is seen as such."""
    before, ends_s = idle_check.read(), time.process_time() + 0.1
    while time.process_time() < ends_s:
        pass
    after = idle_check.read()

    assert after.own_s - before.own_s > 0.05
    assert before.all_s is None or after.all_s > before.all_s


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
