"""Other ways to serve all rates: they begin at a gained network, and are stored as one."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.model.config import MECHANISMS, Config, preset
from bench.codecs.agvae.model.mechanisms import as_stored, at_one_level, start
from bench.codecs.agvae.model.model import AGVAE

OTHERS = MECHANISMS[1:]
MIDDLE = 4


@pytest.fixture(scope="module")
def gained(small_net) -> dict[str, torch.Tensor]:
    """A gained network whose gains differ by channel and are no reciprocals."""
    torch.manual_seed(5)
    return {
        name: value + 0.1 * torch.randn_like(value) if name.startswith("gain_") else value
        for name, value in small_net.state_dict().items()
    }


def network(config: Config, state: dict[str, torch.Tensor]) -> AGVAE:
    """Return a network with exactly these weights."""
    net = AGVAE(config).eval().requires_grad_(requires_grad=False)
    net.load_state_dict(state)
    return net


def moved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights with every table of a mechanism a little elsewhere."""
    torch.manual_seed(6)
    tables = ("log_scale", "shift", "log_gain", "log_inverse", "fixed_gain", "fixed_inverse")
    return {
        name: value + 0.05 * torch.randn_like(value) if name.endswith(tables) else value
        for name, value in state.items()
    }


def seen(net: AGVAE, level: float) -> torch.Tensor:
    """Return what a network makes of two pictures at a level: samples and bits, side by side."""
    torch.manual_seed(7)
    x = torch.rand(2, 3, 64, 64)
    out = net(x, torch.full((2,), level), hard=True)
    return torch.cat([out.x_hat.flatten(1), out.bits_y[:, None], out.bits_z[:, None]], 1)


@pytest.mark.parametrize("mechanism", OTHERS)
def test_they_begin_at_the_gained_network(gained, mechanism):
    """At the middle level they compute what it does; nothing of it is left over or missing."""
    config = preset("small", mechanism=mechanism)
    state = dict(gained)
    if mechanism == "scaling":  # whose gains are reciprocals: here up to a constant
        state["gain_y.log_inverse"] = 0.3 - state["gain_y.log_gain"]
    net = network(config, start(state, config))

    wanted = seen(network(preset("small"), state), MIDDLE)

    assert torch.allclose(wanted, seen(net, MIDDLE), rtol=1e-3, atol=1e-3)
    assert 3 == len({float(seen(net, level)[0, -2]) for level in (0.0, 3.5, 7.0)})


@pytest.mark.parametrize("mechanism", ["cvr", "scaling", "scalar"])
def test_they_are_stored_as_gain_units(gained, mechanism):
    """The codec's network computes the same from the stored tables, at any level."""
    config = preset("small", mechanism=mechanism)
    state = moved(start(gained, config))
    stored = as_stored(state, config)

    assert {name: value.shape for name, value in gained.items()} == {
        name: value.shape for name, value in stored.items()
    }
    own, codec = network(config, state), network(config.as_stored, stored)
    for level in (0.0, 2.25, 7.0):
        assert torch.allclose(seen(own, level), seen(codec, level), rtol=1e-5, atol=1e-5)
    product = stored["gain_y.log_gain"] + stored["gain_y.log_inverse"]
    assert ("cvr" == mechanism) == bool((product - product[:1]).abs().max() > 1e-5)
    of_z = stored["gain_z.log_gain"]
    assert torch.equal(of_z[:1].expand_as(of_z), of_z)


def test_a_conditional_network_is_a_plain_one_per_level(gained):
    """Its scales and shifts folded in; each picture of a batch has its own level."""
    config = preset("small", mechanism="conditional")
    state = moved(start(gained, config))
    net = network(config, state)
    plain = preset("small", gain=False)

    for level in (0, 5):
        folded = network(plain, at_one_level(as_stored(state, config), config, level))
        assert torch.allclose(seen(folded, level), seen(net, level), rtol=1e-4, atol=1e-4)
    x = torch.rand(2, 3, 64, 64)
    both = net(x, torch.tensor([0.0, 5.0]), hard=True).x_hat
    alone = net(x[1:], torch.tensor([5.0]), hard=True).x_hat
    assert torch.allclose(alone, both[1:], atol=1e-5)
    assert not torch.allclose(seen(net, 0.0), seen(net, 5.0))


def test_a_conditional_network_begins_with_one_gain_a_level(gained):
    """Where z has the same gain at every level, it computes what the scalar mechanism does."""
    gained = {
        name: value[MIDDLE].expand_as(value) if name.startswith("gain_z.") else value
        for name, value in gained.items()
    }
    scalar, conditional = (preset("small", mechanism=m) for m in ("scalar", "conditional"))
    net = network(conditional, start(gained, conditional))

    for level in (0.0, 3.5, 7.0):
        wanted = seen(network(scalar, start(gained, scalar)), level)
        assert torch.allclose(wanted, seen(net, level), rtol=1e-3, atol=1e-3)


def test_only_other_mechanisms_have_a_word_in_the_manifest():
    """Gain units are written as ever, so model ids stay; the others come back as they were."""
    assert "mechanism" not in preset("small").to_dict()
    for mechanism in OTHERS:
        config = preset("small", mechanism=mechanism)
        assert config == Config.from_dict(config.to_dict())
        assert f"{mechanism}-asym" == config.variant
    for wrong in ({"mechanism": "x"}, {"mechanism": "cvr", "gain": False}):
        with pytest.raises(ValueError, match="no mechanism"):
            Config(**wrong)
