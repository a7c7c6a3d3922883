"""``bench ablation`` on weights available: tables, reasons for what is absent, a figure."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from bench import image
from bench.cli import command_line
from bench.codecs.agvae import AgvaeBranch
from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.paper import ablation_terms, gain_drift
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.export import export
from bench.errors import UsageError

TRAINING = {"steps": 100, "crops": 3200, "budget": "100steps", "batch": 32, "seed": 0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained small branches, all variants but one, as files: gains drift by a known amount."""
    folder = tmp_path_factory.mktemp("weights") / "agvae"
    base = None
    for gain, asymmetric, level in (
        (True, True, None),
        (True, True, None),
        (True, False, None),
        (False, True, 1.0),
        (False, True, 4.0),
        (False, True, 7.0),
    ):
        torch.manual_seed(11)
        config = preset("small", gain=gain, asymmetric=asymmetric)
        net = AGVAE(config)
        with torch.no_grad():
            net.g_a[-1].weight.mul_(30 if gain else 30 * 2.0 ** (level - 4))
            if gain and base is not None:
                net.gain_y.log_inverse[7] += np.log(1.5)
        name = f"branch-{config.variant}-mse" + ("" if gain else f"-level{level:g}")
        facts = {"training": TRAINING, "note": "untrained, for tests"}
        if base is None:
            path = export(net.state_dict(), config, folder, "base")
            base = checkpoints.read_manifest(path)
        else:
            export(net.state_dict(), config, folder, name, level=level, facts=facts, base=base)
    return folder


@pytest.fixture
def at_hand(weights, monkeypatch):
    """Let codecs find these weights alone."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [weights])
    monkeypatch.setattr(AgvaeBranch, "preset", "small")
    return weights


def test_variants_and_reasons(at_hand):
    """Four variants in order; the absent one says which command makes it."""
    found = ablation_terms.variants()

    assert ["gain-asym", "gain-gauss", "nogain-asym", "nogain-gauss"] == [
        variant.variant for variant in found
    ]
    assert [1, 1, 3, 0] == [len(variant.networks) for variant in found]
    assert "--only 'branch-nogain-gauss-mse*'" in found[3].reason


def test_equal_terms(at_hand):
    """Equal trainings pass; one more step or other data is named."""
    found = ablation_terms.variants()
    assert [] == ablation_terms.inequalities(found)
    assert [400.0, 3200.0] == [
        ablation_terms.crops_per_level(network)
        for network in (found[0].networks[0], found[2].networks[0])
    ]

    path = at_hand / "branch-gain-gauss-mse.json"
    before = path.read_text()
    facts = json.loads(before)
    facts["training"] |= {"steps": 101, "seed": 3, "data": {"pixels_sha256": "other"}}
    path.write_text(json.dumps(facts))
    try:
        words = "; ".join(ablation_terms.inequalities(ablation_terms.variants()))
    finally:
        path.write_text(before)
    assert "steps differ: 100 to 101" in words
    assert "seed differs: 0, 3" in words
    assert "2 sets of photographs" in words


def test_drift(at_hand):
    """m m' of the networks above is one but at level 7, where it is 1.5."""
    table = gain_drift.products(checkpoints.find("gain-asym", preset="small", branch=True)[0])
    y, z = gain_drift.drifts(table)

    assert 8 * (64 + 32) == len(table)
    assert (64, 32) == (y.channels, z.channels)
    assert [50.0] * 3 == pytest.approx([y.median_percent, y.high_percent, y.max_percent], abs=0.01)
    assert 0 == pytest.approx(z.max_percent, abs=1e-3)
    top = table[(table["unit"] == "y") & (table["level"] == 7)]
    expected = pytest.approx(top["departure_percent"].mean(), abs=0.02)  # stored as float16
    assert 100 * (1.5 ** (7 / 8) - 1) == expected


@pytest.mark.slow
def test_the_command(run_bench, weights, photo, tmp_path):
    """Real files of every variant available are measured, compared and drawn."""
    shutil.copytree(weights, tmp_path / "w" / "agvae")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        image.save(photo[:176, 100 * number :][:, :176].copy(), pictures / f"p{number}.png")
    words = ("ablation", "--dataset", f"folder:{pictures}", "--out", tmp_path / "out", "-j", 1)
    only_these = f"""
from pathlib import Path
from bench.codecs.agvae import AgvaeBranch
from bench.codecs.agvae.weights import checkpoints
AgvaeBranch.preset = "small"
checkpoints.folders = lambda: [Path({str(tmp_path / "w" / "agvae")!r})]
"""
    (tmp_path / "sitecustomize.py").write_text(only_these)  # of every process: no packaged weights
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}

    done = run_bench(*words, env=env, fresh=True)  # sitecustomize needs an interpreter

    text = (tmp_path / "out" / "ablation.md").read_text()
    assert text.strip() == done.stdout.strip()
    assert "absent: agvae-nogain-gauss: no small branches" in text
    assert "equal terms: every network" in text
    assert "| agvae-nogain | branch-nogain-asym-mse-level1 |" in " ".join(text.split())
    comparisons = pd.read_csv(tmp_path / "out" / "comparisons.csv")
    assert 6 * 2 == len(comparisons)
    assert {2} == set(comparisons["images"])
    assert (tmp_path / "out" / "drift.csv").stat().st_size > 10_000
    costs = pd.read_csv(tmp_path / "out" / "cost.csv")
    measured = costs[costs["network"] == "bmshj2018-hyperprior"].iloc[0]
    assert 0.076 == pytest.approx(measured["parameters_percent"], abs=0.001)
    plots = {path.suffix for path in (tmp_path / "out" / "plots").iterdir()}
    assert {".png", ".svg", ".pdf", ".csv"} == plots


def test_nothing_at_hand(monkeypatch, tmp_path):
    """Without weights of a preset the command says how to make them."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path])
    words = ["ablation", "--out", str(tmp_path / "out")]

    with pytest.raises(UsageError, match="no variant has weights"):
        command_line(words)(words, standalone_mode=False)
