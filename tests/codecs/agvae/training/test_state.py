"""A state is one file, written whole or not at all, and comes back as it was."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.training import state
from bench.errors import DatasetError


def tensors() -> dict[str, torch.Tensor]:
    """Return tensors of every kind that a training state has."""
    torch.manual_seed(5)
    weight = torch.randn(48, 32, 3, 3)
    return {
        "net.conv.weight": weight,
        "average.conv.weight": weight + 0.01 * torch.randn_like(weight),
        "half": weight.half().permute(1, 0, 2, 3),
        "step": torch.tensor(7),
        "generator": torch.arange(50, dtype=torch.uint8),
        "none": torch.zeros(0),
    }


def test_exact(tmp_path):
    """Every number, type and shape returns; the folder is made."""
    path = tmp_path / "work" / "s.state"
    state.save(path, tensors(), {"step": 7})
    loaded, facts = state.load(path)

    assert {"step": 7} == facts == state.load(path)[1]
    assert set(tensors()) == set(loaded)
    for name, tensor in tensors().items():
        assert tensor.dtype == loaded[name].dtype
        assert torch.equal(tensor, loaded[name])


def test_replaced(tmp_path):
    """Saving again leaves nothing of the old state behind."""
    path = tmp_path / "s.state"
    state.save(path, tensors(), {"step": 1})
    state.save(path, {"x": torch.ones(3)}, {"step": 2})

    assert 2 == state.load(path)[1]["step"]
    assert ["x"] == list(state.load(path)[0])
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "version", "folder", "missing"])
def test_damage_is_named(tmp_path, monkeypatch, damage):
    """A file that is missing, changed, or of another release is an error, never a wrong state."""
    path = tmp_path / "s.state"
    if damage == "version":
        monkeypatch.setattr(state, "FORMAT_VERSION", "1")
    state.save(path, tensors(), {"step": 7})
    monkeypatch.undo()
    data = path.read_bytes()
    if damage == "changed":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage in ("cut", "empty"):
        path.write_bytes(data[: len(data) // 2 if damage == "cut" else 0])
    elif damage in ("folder", "missing"):
        path.unlink()
    if damage == "folder":
        path.mkdir()

    with pytest.raises(DatasetError, match="training state") as caught:
        state.load(path)

    assert str(path) in str(caught.value)
