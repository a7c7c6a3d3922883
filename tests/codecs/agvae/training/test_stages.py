"""All networks in order, each once: here over many sittings, there in luggage of bounded size."""

from __future__ import annotations

import json
import shlex
import tarfile
from dataclasses import replace

import pytest

from bench.codecs.agvae.training import parcel, plan
from bench.codecs.agvae.training import stages as campaign
from bench.codecs.agvae.training.run import Sitting
from bench.codecs.agvae.training.stages import MS_SSIM, MSE, Settings, stages
from bench.codecs.agvae.weights import checkpoints
from bench.errors import DatasetError, OutputError, UsageError


def quiet(*_: object) -> None:
    """Tell nobody."""


def run(settings: Settings, **sitting: object) -> campaign.Result:
    """Train what is left, quietly."""
    return campaign.run(settings, Sitting(**sitting), real_files=False, tell=quiet, told=quiet)


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
    assert [campaign.TRUNK, *trained] == result.now
    for name in trained:
        facts = json.loads((settings.work / f"{name}.json").read_text())
        assert campaign.TRUNK == facts["training"]["init"]["name"]
    assert trained == campaign.install(settings, tmp_path / "installed")


def test_a_trunk_that_is_there(ablation_settings, tmp_path):
    """Weights that are there are a trunk as well: all eight branch off at a lower rate."""
    packaged = campaign.PACKAGED.with_name("small-gain-asym-mse.safetensors")
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


def test_sittings_until_finished(ablation_settings):
    """A stage is paused and continued, and one that has no time left is not begun."""
    settings = ablation_settings(only=("small-gain-*",), ablation_steps=12)

    first = run(settings, pause_at_s=0.0)
    words = campaign.state_of(stages(settings))
    second = run(settings, pause_at_s=0.0)

    assert "small-gain-asym-mse" == first.paused.name
    assert "paused at step 10" in words["small-gain-asym-mse"]
    assert "not begun" == words["small-gain-gauss-mse"]
    assert (["small-gain-asym-mse"], ["small-gain-gauss-mse"]) == (second.now, second.left)


def test_there_and_back(ablation_settings, tmp_path):
    """A paused run travels to a bare machine in bounded pieces, goes on, and comes home."""
    home = ablation_settings(only=("small-gain-*",), ablation_steps=12)
    assert run(home, pause_at_s=0.0).paused
    machine = plan.Machine(travel_bytes=5 * parcel.MIB)
    loads = plan.pack(home, machine, tmp_path / "travel", tree=2 * parcel.MIB)
    assert 2 <= len(loads)
    assert all(
        sum(path.stat().st_size for path in load.iterdir()) <= 2.5 * parcel.MIB for load in loads
    )

    parcel.read(tmp_path / "travel", tmp_path / "there")
    there = replace(home, data=(tmp_path / "there/data",), work=tmp_path / "there/work")
    result = run(there, pause_at_s=0.0)
    assert ["small-gain-asym-mse"] == result.now
    words = campaign.bring(there, result, tmp_path / "out", pieces=4, piece_bytes=parcel.MIB)
    assert "small-gain-asym-mse" in words
    assert all(path.stat().st_size <= parcel.MIB for path in (tmp_path / "out").iterdir())

    parcel.read(tmp_path / "out", home.work)
    states = campaign.state_of(stages(home))
    assert "finished" == states["small-gain-asym-mse"]
    manifest = checkpoints.read_manifest(home.work / "small-gain-asym-mse.json")
    assert checkpoints.load(manifest)
    assert 12 == manifest.facts["training"]["steps"]


def test_what_is_too_much_stays(ablation_settings, trained, tmp_path):
    """A state that does not fit is left behind with a word; weights must fit."""
    settings = ablation_settings(only=("small-gain-asym*",), ablation_steps=12)
    paused = run(settings, pause_at_s=0.0)

    words = campaign.bring(settings, paused, tmp_path, pieces=1, piece_bytes=parcel.MIB)
    assert "too large" in words
    assert not list(tmp_path.iterdir())

    finished = campaign.Result(now=[stage.name for stage in stages(trained)])
    with pytest.raises(OutputError, match="may travel"):
        campaign.bring(trained, finished, tmp_path, pieces=2, piece_bytes=parcel.MIB)


def test_a_fresh_machine_gets_only_what_it_needs(trained):
    """Finished networks travel as manifests, so that they are skipped."""
    assert {f"{stage.name}.json" for stage in stages(trained)} == set(campaign.needed(trained))


def test_install(trained, tmp_path):
    """Finished weights and manifests are copied; nothing else is."""
    names = campaign.install(trained, tmp_path / "weights")

    assert 8 == len(names)
    assert {".json", ".safetensors"} == {p.suffix for p in (tmp_path / "weights").iterdir()}
    for name in names:
        checkpoints.load(checkpoints.read_manifest(tmp_path / "weights" / f"{name}.json"))


def test_the_plan_is_commands(trained, photo_dir, tmp_path):
    """Every line is a comment or a shell command of under 2,000 characters."""
    settings = Settings((photo_dir,), tmp_path)
    lines = list(
        plan.lines(
            settings, plan.Machine(), ["--seed", "3"], folder=tmp_path / "travel", tree=15 * 2**20
        )
    )
    commands = [line for line in lines if line and not line.startswith("#")]

    assert "10 of 10 networks" in lines[0]
    assert all(len(command) < 2000 and shlex.split(command) for command in commands)
    training = next(command for command in commands if "--bring" in command)
    assert "--seed 3" in training
    assert "--pause-after 470s" in training
    assert any("--pack" in command for command in commands)
    assert any("--collect" in command for command in commands)
    assert any("bench ablation" in command for command in commands)


@pytest.mark.parametrize("loads", [1, 3, 6])
@pytest.mark.parametrize("lease_s", [700.0, 1800.0, 3600.0])
def test_calls_fill_a_lease(loads, lease_s):
    """Calls keep under their limit, all of them under the lease's, and little is left over."""
    machine = plan.Machine(lease_s=lease_s)

    number, train_s = plan.calls_per_lease(machine, loads)

    assert train_s + 60 <= machine.call_s
    whole_s = 120 + 20 * loads + number * (train_s + 60 + 20)
    assert lease_s - 100 < whole_s <= lease_s


def test_the_plan_of_finished_work(trained):
    """When all is trained, what is left is to install and to measure."""
    lines = list(plan.lines(trained, plan.Machine(), [], folder=trained.work, tree=0))

    assert "0 of 8 networks" in lines[0]
    assert not any("--bring" in line for line in lines)
    assert any("--install" in line for line in lines)


def test_a_checkout_that_is_too_large(photo_dir, tmp_path):
    """If the checkout leaves no room, the plan says what to do."""
    with pytest.raises(UsageError, match="64 travel"):
        plan.load_bytes(plan.Machine(), 64 * parcel.MIB)


def test_unknown_stages_and_missing_starts(photo_dir, tmp_path):
    """A pattern that names nothing, and a twin without its model, are errors."""
    settings = Settings((photo_dir,), tmp_path, only=("large-*",))
    with pytest.raises(UsageError, match="no stage is called"):
        stages(settings)
    with pytest.raises(UsageError, match=f"Train {MSE} first"):
        run(replace(settings, only=(MS_SSIM,)))


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_parcel_is_refused(tmp_path, damage):
    """A parcel that lacks a piece or its end is an error, not half a parcel."""
    (tmp_path / "file").write_bytes(bytes(50_000))
    pieces = parcel.write({"file": tmp_path / "file"}, tmp_path / "out", 20_000)
    if damage == "missing":
        pieces[0].unlink()
    else:
        pieces[-1].unlink()
        pieces[-2].write_bytes(pieces[-2].read_bytes()[:5])

    with pytest.raises(DatasetError, match="parcel"):
        parcel.read(tmp_path / "out", tmp_path / "in")


@pytest.mark.parametrize("filters", ["with", "without"])
@pytest.mark.parametrize("name", ["../outside", "link"])
def test_a_parcel_stays_in_its_folder(tmp_path, monkeypatch, name, filters):
    """Names that lead out of the folder, and links, are refused, on old Pythons too."""
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    parcel.write({name: tmp_path / ("link" if name == "link" else "file")}, tmp_path / "out", 10**6)
    if filters == "without":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)

    with pytest.raises(DatasetError, match="no plain file below"):
        parcel.read(tmp_path / "out", tmp_path / "in")

    assert not (tmp_path / "outside").exists()


def test_manifests_are_json(trained):
    """Each network's manifest holds how both ways of counting come out."""
    for stage in stages(trained):
        facts = json.loads(stage.options.manifest.read_text())
        assert (2, 16) == (facts["training"]["steps"], facts["training"]["crops"])
