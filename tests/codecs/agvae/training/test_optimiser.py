"""The optimiser against its references: singular values, torch's Adam, one matrix at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.codecs.agvae.training.optimiser import NEW_RATE, MuonAdam, is_matrix, orthogonalise


@pytest.mark.parametrize("shape", [(24, 24), (12, 90), (90, 12)])
def test_orthogonalise(shape):
    """Singular vectors stay, singular values from 1 to 20 come near one."""
    torch.manual_seed(3)
    u, _, v = torch.linalg.svd(torch.randn(2, *shape), full_matrices=False)
    matrix = u @ torch.diag_embed(torch.linspace(1, 20, min(shape)).expand(2, -1)) @ v

    near = orthogonalise(matrix)

    values = torch.linalg.svdvals(near)
    assert 0.5 < values.min()
    assert values.max() < 1.3
    aligned = u.mT @ near @ v.mT
    assert torch.allclose(aligned, torch.diag_embed(torch.diagonal(aligned, 0, 1, 2)), atol=1e-4)


def parameters() -> nn.ParameterDict:
    """Return two matrices of one shape, one of another, a thin one and a vector."""
    torch.manual_seed(4)
    shapes = {"a": (12, 10, 3, 3), "b": (12, 10, 3, 3), "c": (16, 24, 1, 1), "d": (12, 3, 3, 3)}
    named = {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    return nn.ParameterDict({**named, "e": nn.Parameter(torch.randn(7))})


def set_gradients(net: nn.ParameterDict, step: int) -> None:
    """Give each parameter a small gradient of its own."""
    torch.manual_seed(100 + step)
    for p in net.values():
        p.grad = 1e-3 * torch.randn_like(p)


def test_which_parameters_are_matrices():
    """Dense convolutions with more than 8 inputs and outputs."""
    net = parameters()

    assert ["a", "b", "c"] == [name for name, p in net.items() if is_matrix(p)]
    assert not is_matrix(torch.zeros(64, 1, 3, 3))
    assert not is_matrix(torch.zeros(8, 256))


def test_others_move_as_by_adam():
    """Vectors and thin convolutions follow torch's Adam exactly."""
    ours, theirs = parameters(), parameters()
    optimiser = MuonAdam(ours.items(), adam_rate=0.1)
    adam = torch.optim.Adam([theirs["d"], theirs["e"]], lr=0.1, betas=(0.9, 0.99), eps=1e-8)
    for step in range(5):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimiser.scale.fill_(0.5)
        adam.param_groups[0]["lr"] = 0.05
        optimiser.step()
        adam.step()

    for name in ("d", "e"):
        assert torch.allclose(theirs[name], ours[name], atol=1e-6)


def test_new_tables_move_faster():
    """By a constant; the others move as they would without them."""
    plain, ours = parameters(), parameters()
    for net, new in ((plain, ()), (ours, ("e",))):
        optimiser = MuonAdam(net.items(), new=new)
        set_gradients(net, 0)
        optimiser.scale.fill_(1.0)
        optimiser.step()

    start = parameters()["e"]
    assert torch.allclose((plain["e"] - start) * NEW_RATE, ours["e"] - start, rtol=1e-2)
    assert torch.equal(plain["d"], ours["d"])


def test_matrices_move_as_by_muon_alone():
    """Matrices of one shape in one batch move as each would by the formula."""
    net, start = parameters(), parameters()
    optimiser = MuonAdam(net.items(), muon_rate=0.02)
    momentum = torch.zeros(12, 90)
    expected = start["b"].detach().clone()
    for step in range(3):
        set_gradients(net, step)
        gradient = net["b"].grad.reshape(12, 90)
        momentum = 0.95 * momentum + gradient
        move = orthogonalise((gradient + 0.95 * momentum)[None])[0]
        expected -= 0.02 * 0.2 * move.reshape(expected.shape)
        optimiser.scale.fill_(1.0)
        optimiser.step()

    assert torch.allclose(expected, net["b"], atol=1e-6)


def test_gradients_are_cut_to_norm_one():
    """The returned norm is that before the cut; what Adam remembers is after it."""
    net = parameters()
    optimiser = MuonAdam(net.items())
    set_gradients(net, 0)
    for p in net.values():
        p.grad *= 1e6
    norm = torch.sqrt(sum(p.grad.square().sum() for p in net.values()))
    gradient = net["e"].grad / norm

    assert norm.item() == pytest.approx(optimiser.step().item(), rel=1e-4)
    assert torch.allclose(0.1 * gradient, optimiser.tensors()["adam.mean.e"], atol=1e-5)


def test_state_by_name_restores():
    """Writing the named tensors into another optimiser makes it continue alike."""
    one, other = parameters(), parameters()
    first, second = MuonAdam(one.items()), MuonAdam(other.items())
    for optimiser, net, steps in ((first, one, range(2)), (second, other, ())):
        for step in steps:
            set_gradients(net, step)
            optimiser.scale.fill_(1.0)
            optimiser.step()
    for name, tensor in second.tensors().items():
        tensor.copy_(first.tensors()[name])
    with torch.no_grad():
        for name in one:
            other[name].copy_(one[name])
    for optimiser, net in ((first, one), (second, other)):
        set_gradients(net, 9)
        optimiser.scale.fill_(1.0)
        optimiser.step()

    assert all(torch.equal(one[name], other[name]) for name in one)
