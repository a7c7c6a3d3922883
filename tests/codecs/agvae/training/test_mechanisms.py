"""Other mechanisms branch off the same network on the same terms, and end as files."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.model import mechanisms
from bench.codecs.agvae.model.config import MECHANISMS, preset
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.training import evaluate, initialise
from bench.codecs.agvae.training.photographs import Photos, read
from bench.codecs.agvae.training.run import Session
from bench.codecs.agvae.training.stages import run, stages
from bench.codecs.agvae.weights import checkpoints
from bench.errors import UsageError

pytestmark = pytest.mark.slow


_HALF_PRECISION = 4e-3
"""What float16 differences leave of equal gains."""


def _spread(tables: torch.Tensor) -> float:
    """Return the largest range over levels."""
    return float((tables.max(0).values - tables.min(0).values).max())


@pytest.fixture(scope="module")
def branched(ablation_settings):
    """All of them, two steps from the packaged small network."""
    settings = ablation_settings(only=("mechanism-*",))
    torch.set_num_threads(1)
    run(settings, Session(), real_files=False, tell=lambda *_: None, told=lambda *_: None)
    return settings


def test_every_mechanism_is_a_stage_on_equal_terms(ablation_settings):
    """The same start, steps, crops, rate and seed as the branches of the ablation."""
    every = stages(ablation_settings(only=("mechanism-*", "branch-gain-asym-mse")))

    assert len(MECHANISMS) == len(every)
    for name in ("budget", "seed", "batch", "crop", "init", "data", "rate", "decay", "level_power"):
        assert 1 == len({str(getattr(stage.options, name)) for stage in every})


def test_what_is_stored_is_what_was_trained(branched, pieces):
    """Files decode where a codec runs the network; its tables are the mechanism's, and moved."""
    image = pieces["ihc1.png"]
    for stage in stages(branched):
        manifest = checkpoints.read_manifest(stage.options.manifest)
        assert stage.finished
        assert stage.options.variant == manifest.config.variant
        stored, steps = checkpoints.load(manifest), 700
        assert "base" in manifest.facts
        network = manifest.networks[-1]
        if manifest.config.conditional:
            assert _spread(stored["g_s.0.0.scales"]) > 0.1
            steps = 7 * 256
        data = Engine(network).encode([image], [steps])[0]
        assert image.shape == Engine(network).decode([container.read(data)])[0].shape
        if manifest.config.conditional:
            continue
        gain, inverse = stored["gain_y.log_gain"], stored["gain_y.log_inverse"]
        assert _spread(stored["gain_z.log_gain"]) < _HALF_PRECISION
        if stage.options.variant == "scalar-asym":
            assert _spread((gain - gain[:1]).T) < _HALF_PRECISION
        reciprocal = _spread(gain + inverse) < _HALF_PRECISION
        assert (stage.options.variant != "cvr-asym") == reciprocal


def test_they_are_as_near_to_their_base_as_its_branches(branched):
    """Two steps away, every convolution is stored within a few of the base's own steps."""
    base = checkpoints.load(checkpoints.read_manifest(branched.trunk.with_suffix(".json")))
    for stage in stages(branched):
        stored = checkpoints.load(checkpoints.read_manifest(stage.options.manifest))
        for name in ("g_a.6.weight", "g_s.0.0.weight", "h_a.4.weight", "h_s.0.0.weight"):
            assert (stored[name] - base[name]).abs().max() < 0.1 * base[name].abs().max(), name


def test_a_conditional_network_is_measured_in_real_files(branched):
    """At whole levels, by the plain network of each: near what training estimates there."""
    [stage] = [s for s in stages(branched) if s.options.variant == "conditional-asym"]
    manifest = checkpoints.read_manifest(stage.options.manifest)
    one = Photos(read(branched.data).members[:1])
    tensors = checkpoints.load(manifest)
    del tensors[checkpoints.Z_TABLES]
    weights = mechanisms.as_trained(tensors, manifest.config)

    found = evaluate.real(stage.options.manifest, one, [0.0, 7.0])

    device = torch.device("cpu")
    wanted = evaluate.estimated(weights, manifest.config, one, [0.0, 7.0], device)
    for real, estimate in zip(found, wanted, strict=True):
        assert estimate["psnr_db"] == pytest.approx(real["psnr_db"], abs=0.05)
        assert estimate["bpp"] == pytest.approx(real["bpp"], rel=0.1)
    levels = [row["level"] for row in manifest.facts["reached"]["rows"]]
    assert [0, 1, 2, 3, 4, 5, 6, 7] == levels


def test_no_mechanism_becomes_another(branched):
    """Neither weights nor a state of one start another; the refusal names both."""
    state = branched.work / "mechanism-scalar-asym-mse.state"
    whole = branched.work / "mechanism-conditional-asym-mse.safetensors"

    for path, wanted in ((state, preset("small", mechanism="cvr")), (whole, preset("small"))):
        with pytest.raises(UsageError, match="cannot become"):
            initialise.read(path, wanted, None)
    with pytest.raises(UsageError, match="conditional-asym cannot become nogain-asym"):
        initialise.read(whole, preset("small", gain=False), 4)
