"""A state travels in small files, is written whole or not at all, and comes back."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.training import state as shards
from bench.errors import DatasetError


def state() -> dict[str, torch.Tensor]:
    """Return tensors of every kind that a training state has."""
    torch.manual_seed(5)
    weight = torch.randn(48, 32, 3, 3)
    return {
        "net.conv.weight": weight,
        "average.conv.weight": weight + 0.01 * torch.randn_like(weight),
        "optimiser.muon.conv.weight": torch.randn(48, 288) * 1e-3,
        "net.bias": torch.randn(48),
        "step": torch.tensor(7),
        "generator": torch.arange(50, dtype=torch.uint8),
        "none": torch.zeros(0),
    }


@pytest.fixture
def small_shards(monkeypatch):
    """Let a shard hold 20,000 bytes."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)


def test_exact(tmp_path, small_shards):
    """Every number, type and shape returns, in shards of bounded size, tensors cut if need be."""
    shards.save(tmp_path / "s", state(), {"step": 7})
    loaded, facts = shards.load(tmp_path / "s")

    assert {"step": 7} == facts == shards.read_facts(tmp_path / "s")
    assert set(state()) == set(loaded)
    for name, tensor in state().items():
        assert tensor.dtype == loaded[name].dtype
        assert torch.equal(tensor, loaded[name])
    sizes = [path.stat().st_size for path in (tmp_path / "s").glob("*.shard")]
    assert 8 < len(sizes)
    assert max(sizes) < 21_000


def test_compact(tmp_path, small_shards):
    """The compact form has under half the bytes and changes weights by rounding alone."""
    exact, compact = tmp_path / "exact", tmp_path / "compact"
    shards.save(exact, state(), {})
    shards.save(compact, state(), {}, compact=True)
    loaded, _ = shards.load(compact)

    def size(folder):
        return sum(path.stat().st_size for path in folder.iterdir())

    assert size(compact) < 0.45 * size(exact)
    wanted = state()
    assert set(wanted) == set(loaded)
    for name in ("net.conv.weight", "average.conv.weight"):
        assert (loaded[name] - wanted[name]).abs().max() < 2e-3
    moved = loaded["optimiser.muon.conv.weight"] - wanted["optimiser.muon.conv.weight"]
    assert moved.abs().max() < 0.005 * wanted["optimiser.muon.conv.weight"].abs().max()
    for name in ("net.bias", "step", "generator"):
        assert torch.equal(wanted[name], loaded[name])


def test_replaced(tmp_path, small_shards):
    """Saving again leaves nothing of the old state behind."""
    shards.save(tmp_path, state(), {"step": 1})
    before = set(tmp_path.iterdir())
    shards.save(tmp_path, {"x": torch.ones(3)}, {"step": 2})

    assert 2 == shards.read_facts(tmp_path)["step"]
    assert ["x"] == list(shards.load(tmp_path)[0])
    assert 2 == len(list(tmp_path.iterdir())) < len(before)


@pytest.mark.parametrize("damage", ["missing", "damaged", "index", "version"])
def test_damage_is_named(tmp_path, damage):
    """A missing or changed part is an error that says which, never a wrong state."""
    shards.save(tmp_path, state(), {})
    shard = next(tmp_path.glob("*.shard"))
    index = tmp_path / shards.INDEX
    if damage == "missing":
        shard.unlink()
    elif damage == "damaged":
        shard.write_bytes(shard.read_bytes()[:-1] + b"\x01")
    elif damage == "index":
        index.write_text("{")
    else:
        index.write_text(index.read_text().replace('"format_version": 1', '"format_version": 9'))

    with pytest.raises(DatasetError, match=f"{damage}|training state"):
        shards.load(tmp_path)


def test_absent(tmp_path):
    """Where nothing was saved there is no state."""
    assert not shards.exists(tmp_path)
    with pytest.raises(DatasetError, match="no training state"):
        shards.load(tmp_path)
