"""All networks in order, each once, over any number of calls."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.codecs.agvae.training import stages as staging
from bench.codecs.agvae.training.run import Session
from bench.codecs.agvae.training.stages import MS_SSIM, MSE, Settings, stages
from bench.codecs.agvae.weights import checkpoints
from bench.errors import UsageError


def quiet(*_: object) -> None:
    """Tell nobody."""


def run(settings: Settings, **session: object) -> staging.Result:
    """Train what is left, quietly."""
    return staging.run(settings, Session(**session), real_files=False, tell=quiet, told=quiet)


def test_the_whole_set(photo_dir, tmp_path):
    """The default codec, its twin, and eight networks on equal terms."""
    every = stages(Settings((photo_dir,), tmp_path))
    ablation = [stage.options for stage in every[2:]]

    assert [MSE, MS_SSIM] == [stage.name for stage in every[:2]]
    assert every[0].options.out == every[1].options.init
    assert "ms-ssim" == every[1].options.metric
    assert 8 == len(ablation)
    assert {"small"} == {options.preset for options in ablation}
    assert {1, 4, 7, None} == {options.level for options in ablation}
    for name in ("budget", "seed", "batch", "crop", "init", "data", "rate", "decay", "level_power"):
        assert 1 == len({str(getattr(options, name)) for options in ablation})
    base = stages(Settings((photo_dir,), tmp_path, base_level_power=0.1))
    assert [0.1, 0.4, 0.4] == [stage.options.level_power for stage in base[:3]]


def test_a_trunk_is_shared_and_not_shipped(ablation_settings, tmp_path):
    """With a trunk all eight start from it, on equal terms still; it is not installed."""
    settings = ablation_settings(
        only=("small-trunk", "small-*-level1"), trunk_steps=2, ablation_steps=2
    )
    every = stages(replace(settings, only=()))
    branches = [stage.options for stage in every[3:]]

    result = run(settings)

    assert 8 == len(branches)
    assert {every[2].options.out} == {options.init for options in branches}
    for name in ("budget", "seed", "batch", "crop", "rate", "decay"):
        assert 1 == len({str(getattr(options, name)) for options in branches})
    trained = ["small-nogain-asym-mse-level1", "small-nogain-gauss-mse-level1"]
    assert [staging.TRUNK, *trained] == result.now
    for name in trained:
        facts = json.loads((settings.work / f"{name}.json").read_text())
        assert staging.TRUNK == facts["training"]["init"]["name"]
    assert trained == staging.install(settings, tmp_path / "installed")


def test_a_trunk_that_is_there(ablation_settings, tmp_path):
    """Weights that are there are a trunk as well: all eight branch off at a lower rate."""
    packaged = staging.PACKAGED.with_name("small-gain-asym-mse.safetensors")
    settings = ablation_settings(
        only=("small-gain-gauss-mse",), trunk=packaged, branch_rate=0.3, ablation_steps=2
    )
    branches = [stage.options for stage in stages(replace(settings, only=()))[2:]]

    result = run(settings)

    assert 8 == len(branches)
    assert {(packaged, 0.3, 0.8)} == {(o.init, o.rate, o.decay) for o in branches}
    assert ["small-gain-gauss-mse"] == result.now
    facts = json.loads((settings.work / "small-gain-gauss-mse.json").read_text())
    model_id = checkpoints.read_manifest(packaged.with_suffix(".json")).model_id
    assert model_id == facts["training"]["init"]["model_id"]


def test_two_starts_are_refused(photo_dir, tmp_path):
    """Either a trunk is trained or it is there."""
    with pytest.raises(UsageError, match="two starts"):
        Settings((photo_dir,), tmp_path, trunk=tmp_path / "a.safetensors", trunk_steps=5)


def test_a_trunk_that_is_missing(ablation_settings, tmp_path):
    """A trunk that is not there is asked for by name, before anything is trained."""
    settings = ablation_settings(only=("small-gain-asym-mse",), trunk=tmp_path / "gone.safetensors")

    with pytest.raises(UsageError, match=r"gone.safetensors.*not there"):
        run(settings)


def test_every_variant_becomes_weights_that_codecs_find(trained, monkeypatch):
    """Gained networks are found alone, those without gain one per level."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [trained.work])

    for variant in ("gain-asym", "gain-gauss"):
        assert 1 == len(checkpoints.find(variant, preset="small"))
    for variant in ("nogain-asym", "nogain-gauss"):
        found = checkpoints.find(variant, preset="small")
        assert [1.0, 4.0, 7.0] == [network.level for network in found]
        assert 3 == len({network.model_id for network in found})


def test_all_weights_together_are_small(trained):
    """Eight networks of the ablation leave 22 of 32 MB to the base ones, even untrained."""
    sizes = [path.stat().st_size for path in trained.work.glob("*.safetensors")]

    assert 8 == len(sizes)
    assert sum(sizes) < 9.6e6


def test_finished_stages_are_skipped(trained):
    """A second run trains nothing and says what was there."""
    result = run(trained)

    assert 8 == len(result.before)
    assert not result.now + result.left


def test_sessions_until_finished(ablation_settings):
    """A stage is paused and continued, and one that has no time left is not begun."""
    settings = ablation_settings(only=("small-gain-*",), ablation_steps=12)

    first = run(settings, pause_at_s=0.0)
    second = run(settings, pause_at_s=0.0)

    assert "small-gain-asym-mse" == first.paused.name
    assert (["small-gain-asym-mse"], ["small-gain-gauss-mse"]) == (second.now, second.left)


def test_install(trained, tmp_path):
    """Finished weights and manifests are copied; nothing else is."""
    names = staging.install(trained, tmp_path / "weights")

    assert 8 == len(names)
    assert {".json", ".safetensors"} == {p.suffix for p in (tmp_path / "weights").iterdir()}
    for name in names:
        checkpoints.load(checkpoints.read_manifest(tmp_path / "weights" / f"{name}.json"))


def test_unknown_stages_and_missing_starts(photo_dir, tmp_path):
    """A pattern that names nothing, and a twin without its model, are errors."""
    settings = Settings((photo_dir,), tmp_path, only=("large-*",))
    with pytest.raises(UsageError, match="no stage is called"):
        stages(settings)
    with pytest.raises(UsageError, match=f"Train {MSE} first"):
        run(replace(settings, only=(MS_SSIM,)))


def test_manifests_are_json(trained):
    """Each network's manifest holds how both ways of counting come out."""
    for stage in stages(trained):
        facts = json.loads(stage.options.manifest.read_text())
        assert (2, 16) == (facts["training"]["steps"], facts["training"]["crops"])
