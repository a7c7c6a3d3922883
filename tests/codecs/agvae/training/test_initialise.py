"""Runs start from weights or states, also of another variant, and inherit their caveats."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.training import initialise, stages
from bench.codecs.agvae.training import state as states
from bench.codecs.agvae.training.export_and_measure import train
from bench.codecs.agvae.training.run import Run, Session
from bench.errors import UsageError


@pytest.fixture(scope="module")
def gained(trained):
    """Weights of a gained network whose gains are not alike."""
    path = trained.work / "branch-gain-asym-mse.safetensors"
    config = preset("small")
    tensors = initialise.read(path, config, None).tensors
    torch.manual_seed(8)
    for name in ("gain_y.log_gain", "gain_y.log_inverse", "gain_z.log_gain", "gain_z.log_inverse"):
        tensors[name] = tensors[name] + 0.3 * torch.randn_like(tensors[name])
    return tensors


def test_folded_gains_are_the_same_function(gained, tmp_path, trained):
    """A network without gain begins as the gained one at its level, to rounding."""
    config = preset("small")
    net = AGVAE(config).eval()
    net.load_state_dict(gained)
    state = tmp_path / "x.state"
    tensors = {f"{states.AVERAGE}{name}": tensor for name, tensor in gained.items()}
    states.save(state, tensors, {"config": config.to_dict(), "step": 3, "taints": ["why"]})
    plain_config = preset("small", gain=False)
    begun = initialise.read(state, plain_config, 5)
    plain = AGVAE(plain_config).eval()
    plain.load_state_dict(begun.tensors)
    x = torch.rand(1, 3, 64, 64)

    with torch.no_grad():
        expected = net(x, torch.tensor([5.0]), hard=True)
        found = plain(x, torch.tensor([5.0]), hard=True)

    assert torch.allclose(expected.x_hat, found.x_hat, atol=1e-4)
    assert torch.allclose(expected.bits_y, found.bits_y, rtol=1e-3)
    assert torch.allclose(expected.bits_z, found.bits_z, rtol=1e-3)
    assert ("why",) == begun.taints


def test_packaged_weights_bring_their_caveat():
    """Weights continued from development weights say so: nobody may call them released."""
    config = preset("base")
    if not stages.PACKAGED.is_file():
        pytest.skip("needs the packaged base-gain-asym-mse weights")

    begun = initialise.read(stages.PACKAGED, config, None)
    AGVAE(config).load_state_dict(begun.tensors)

    manifest = stages.PACKAGED.with_suffix(".json").read_text()
    assert ('"status": "development"' in manifest) == bool(begun.taints)
    assert "base-gain-asym-mse" == begun.origin["name"]


@pytest.mark.parametrize(
    ("config", "level", "match"),
    [
        (preset("base"), None, "its channels is"),
        (preset("small", gain=False), 4, None),
        (preset("small", asymmetric=False), None, None),
    ],
)
def test_sizes_must_agree_variants_need_not(trained, config, level, match):
    """Weights of another preset are refused, those of another variant taken."""
    path = trained.work / "branch-gain-asym-mse.safetensors"
    if match:
        with pytest.raises(UsageError, match=match):
            initialise.read(path, config, level)
    else:
        AGVAE(config).load_state_dict(initialise.read(path, config, level).tensors)


def test_gain_cannot_come_from_nothing(trained):
    """A network without gain has no gain tables to continue."""
    path = trained.work / "branch-nogain-asym-mse-level4.safetensors"

    with pytest.raises(UsageError, match="cannot become a gained one"):
        initialise.read(path, preset("small"), None)
    with pytest.raises(UsageError, match="no manifest"):
        initialise.read(trained.work / "absent.safetensors", preset("small"), None)


def test_a_run_begins_where_its_start_ended(options, trained):
    """The first loss after --init is that of the trained weights, and the manifest names them."""
    path = trained.work / "branch-gain-asym-mse.safetensors"
    run = Run(options("more", steps=1, init=path), Session())

    assert all(
        torch.equal(tensor, run.trainer.average()[name])
        for name, tensor in initialise.read(path, preset("small"), None).tensors.items()
    )
    outcome = train(options("more", steps=1, init=path), Session(), real_files=False)
    assert '"name": "branch-gain-asym-mse"' in outcome.manifest.read_text()
