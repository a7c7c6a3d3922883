"""All networks in order, each once, over any number of calls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.codecs.agvae.model.config import MECHANISMS
from bench.codecs.agvae.training import stages as staging
from bench.codecs.agvae.training.run import Session
from bench.codecs.agvae.training.stages import MS_SSIM, MSE, SMALL, Settings, stages
from bench.codecs.agvae.weights import checkpoints
from bench.errors import UsageError

pytestmark = pytest.mark.slow


def quiet(*_: object) -> None:
    """Tell nobody."""


def run(settings: Settings, **session: object) -> staging.Result:
    """Train what is left, quietly."""
    return staging.run(settings, Session(**session), real_files=False, tell=quiet, told=quiet)


def test_the_whole_set(photo_dir, tmp_path):
    """The default codec, its twin, a small network, eight branches, then the other mechanisms."""
    every = stages(Settings((photo_dir,), tmp_path))
    branches = [stage.options for stage in every[3:11]]

    assert [MSE, MS_SSIM, SMALL] == [stage.name for stage in every[:3]]
    assert every[0].options.out == every[1].options.init
    assert "ms-ssim" == every[1].options.metric
    assert ("small", None) == (every[2].options.preset, every[2].options.init)
    assert len(every) == 11 + len(MECHANISMS[1:])
    assert all(stage.name.startswith("mechanism-") for stage in every[11:])
    assert {("base", True)} == {(options.preset, options.branch) for options in branches}
    assert {1, 4, 7, None} == {options.level for options in branches}
    for name in ("budget", "seed", "batch", "crop", "init", "data", "rate", "decay", "level_power"):
        assert 1 == len({str(getattr(options, name)) for options in branches})
    base = stages(Settings((photo_dir,), tmp_path, base_level_power=0.1))
    assert [0.1, 0.4, 0.4] == [stage.options.level_power for stage in base[:3]]


def test_branches_are_made_by_the_documented_command(photo_dir, tmp_path):
    """A stage is what TRAINING.md writes out as one command: 300 steps of 8 crops."""
    options = next(
        s.options for s in stages(Settings((photo_dir,), tmp_path)) if "nogain" in s.name
    )
    written = (Path(staging.__file__).parents[1] / "TRAINING.md").read_text()
    command = next(line for line in written.splitlines() if "--init base-gain-asym-mse" in line)

    assert "base-gain-asym-mse.safetensors" == options.init.name
    for word in (
        f"--budget {options.budget}",
        f"--batch {options.batch}",
        f"--rate {options.rate:g}",
        f"--decay {options.decay:g}",
        "--branch",
    ):
        assert f" {word}" in command


def test_branches_are_differences_from_their_trunk(trained):
    """Each names the trunk that it began with, and is a tenth of its size."""
    packaged = trained.trunk
    trunk = checkpoints.read_manifest(packaged.with_suffix(".json"))

    for stage in stages(trained):
        manifest = checkpoints.read_manifest(stage.options.manifest)
        assert trunk.sha256 == manifest.base["sha256"]
        assert trunk.model_id == manifest.facts["training"]["init"]["model_id"]
        assert stage.options.out.stat().st_size < 0.1 * packaged.stat().st_size
        assert trunk.model_id != manifest.model_id


def test_a_state_is_exported_again(trained, tmp_path):
    """A finished run's state gives the same file without another step; another base is refused."""
    name = "branch-nogain-asym-mse-level1"
    state = (trained.work / f"{name}.state").read_bytes()
    (tmp_path / f"{name}.state").write_bytes(state)
    again = replace(trained, work=tmp_path, only=(name,))

    result = run(again)

    assert [name] == result.now
    files = [folder / f"{name}.safetensors" for folder in (trained.work, tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()
    (tmp_path / f"{name}.json").unlink()
    other = staging.PACKAGED.with_name("small-gain-asym-mse")
    for suffix in (".json", ".safetensors"):
        text = other.with_suffix(suffix).read_bytes()
        (tmp_path / f"other{suffix}").write_bytes(text.replace(trained_sha(trained), b"0" * 64))
    with pytest.raises(UsageError, match=r"has sha256 000000.*began with small-gain-asym-mse"):
        run(replace(again, trunk=tmp_path / "other.safetensors"))


def trained_sha(settings: Settings) -> bytes:
    """Return the sha256 of the trunk as its manifest has it."""
    return checkpoints.read_manifest(settings.trunk.with_suffix(".json")).sha256.encode()


def test_a_trunk_that_is_missing(ablation_settings, tmp_path):
    """A trunk that is not there is asked for by name, before anything is trained."""
    settings = ablation_settings(
        only=("branch-gain-asym-mse",), trunk=tmp_path / "gone.safetensors"
    )

    with pytest.raises(UsageError, match=r"gone.safetensors.*not there"):
        run(settings)


def test_every_variant_becomes_weights_that_codecs_find(trained, monkeypatch):
    """Gained networks are found alone, those without gain one per level."""
    folders = [trained.work, trained.trunk.parent]
    monkeypatch.setattr(checkpoints, "folders", lambda: folders)

    for variant in ("gain-asym", "gain-gauss"):
        assert 1 == len(checkpoints.find(variant, preset="small", branch=True))
    for variant in ("nogain-asym", "nogain-gauss"):
        found = checkpoints.find(variant, preset="small", branch=True)
        assert [1.0, 4.0, 7.0] == [network.level for network in found]
        assert 3 == len({network.model_id for network in found})


def test_finished_stages_are_skipped(trained):
    """A second run trains nothing and says what was there."""
    result = run(trained)

    assert 8 == len(result.before)
    assert not result.now + result.left


def test_sessions_until_finished(ablation_settings):
    """A stage is paused and continued, and one that has no time left is not begun."""
    settings = ablation_settings(only=("branch-gain-*",), branch_steps=12)

    first = run(settings, pause_at_s=0.0)
    second = run(settings, pause_at_s=0.0)

    assert "branch-gain-asym-mse" == first.paused.name
    assert (["branch-gain-asym-mse"], ["branch-gain-gauss-mse"]) == (second.now, second.left)


def test_install(trained, tmp_path):
    """Finished weights, manifests and one list of photographs are copied; nothing else is."""
    names = staging.install(trained, tmp_path / "weights")

    assert 8 == len(names)
    assert 16 == len(list((tmp_path / "weights").glob("branch-*")))
    assert [checkpoints.SOURCES] == [p.name for p in (tmp_path / "weights").iterdir() if p.is_dir()]
    assert 1 == len(list((tmp_path / "weights" / checkpoints.SOURCES).iterdir()))
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
