"""Proof by mutation for AG-VAE: a gain, the precision of the entropy coder, another CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from bench import registry
from bench.codec import Setting
from bench.errors import Unavailable
from bench.gate import baseline
from bench.gate.cells import Change
from bench.gate.images import Verdict
from bench.gate.rows import Locked

torch = pytest.importorskip("torch")
from bench.codecs.agvae import engines  # noqa: E402 - after the check for torch
from bench.codecs.agvae.bitstream import frequency_tables  # noqa: E402
from bench.codecs.agvae.runtime.engine import Engine  # noqa: E402


def fresh() -> None:
    """Build engines and tables anew, as a new process would."""
    engines._engine.cache_clear()
    frequency_tables.split_normal_frequencies.cache_clear()
    frequency_tables.standard_bank.cache_clear()


@pytest.fixture(autouse=True)
def _fresh_engines() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    fresh()


@pytest.fixture(scope="module")
def pair(make_gate):
    """Two crops."""
    return make_gate([(60, 100), (120, 200)])


@pytest.fixture(scope="module")
def locked_agvae(pair) -> Locked:
    """AG-VAE at four levels of two crops."""
    try:
        registry.create("agvae")
    except Unavailable as error:
        pytest.skip(str(error))
    return pair.lock({"agvae": [Setting(level=level) for level in (1, 3, 4, 6)]})


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_unchanged(pair, locked_agvae, times: int):
    """Measured again, everything is identical to the byte."""
    for _ in range(times):
        fresh()
        report = pair.check(locked_agvae)

        assert 0 == report.exit_code
        assert [Verdict.IDENTICAL] == [result.verdict for result in report.curves]


def test_one_gain_vector_scaled(pair, locked_agvae, monkeypatch):
    """Gains of one level times 1.02, the inverse left alone: its points are named, no others."""
    table = Engine.gain

    def scaled(self, name, level_steps):
        gain = table(self, name, level_steps)
        return gain * 1.02 if (name, level_steps) == ("gain_y.log_gain", 4 * 256) else gain

    monkeypatch.setattr(Engine, "gain", scaled)
    fresh()
    report = pair.check(locked_agvae)
    (result,) = report.regressed
    changed = {result.rung(cell) for cell in result.changed}

    assert "agvae" == result.codec
    assert {"crop0.png", "crop1.png"} == set(result.failing_images)
    assert {"level=4"} == changed


def test_precision_of_the_entropy_coder_lowered(pair, locked_agvae, monkeypatch):
    """Frequencies on a grid two bits coarser: same pixels, larger files."""
    quantise = frequency_tables.quantise_pmf

    def coarse(p, total_bits=frequency_tables.PRECISION_BITS):
        return quantise(p, total_bits - 2) * 4

    monkeypatch.setattr(frequency_tables, "quantise_pmf", coarse)
    monkeypatch.setattr(
        frequency_tables, "quantise_all", lambda tables: tuple(coarse(masses) for masses in tables)
    )
    fresh()
    report = pair.check(locked_agvae)
    (result,) = report.regressed

    assert Verdict.WORSE == result.verdict
    assert {"crop0.png", "crop1.png"} == set(result.failing_images)
    assert {Change.WORSE, Change.EQUAL} >= {cell.change for cell in result.cells}
    assert {"same pixels, other bytes: the entropy coder or the header changed"} == {
        cell.why for cell in result.cells
    }
    # Words of 16 bits hide it in some files; where it shows it is far below 1 %.
    assert 0 < max(cell.size_percent for cell in result.cells) < 1


@pytest.mark.slow
def test_other_cpu_gives_no_alarm(pair, locked_agvae, tmp_path, run_bench):
    """Kernels without vector extensions, as of another CPU: whatever they change is equal RD."""
    baseline.write(tmp_path / "base.csv", locked_agvae)
    done = run_bench(
        *("check", "--baseline", tmp_path / "base.csv", "--json", tmp_path / "gate.json"),
        *("--jobs", "1"),
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    )
    (curve,) = json.loads((tmp_path / "gate.json").read_text())["curves"]

    assert done.stdout.splitlines()[-1].startswith("OK")
    assert {"identical", "equal"} >= {cell["change"] for cell in curve["cells"]}
