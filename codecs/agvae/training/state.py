"""A training state in files of at most 16 MiB, so that it can travel; written whole or not at all.

``index.json`` names the shards; it is replaced last, so a kill at any moment leaves the old state
or the new one. Tensors larger than a shard are cut. Two forms::

    exact      every number as it is: a resumed run equals one that never stopped
    compact    about a third: weights as fp16, the average's distance from them and Muon's momentum
               as 8-bit integers with a scale per output
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import DatasetError
from bench.files import write_atomically

SHARD_BYTES = 16 * 2**20 - 2**16
"""Of tensor data; the rest of 16 MiB is for the file's own header."""

FORMAT_VERSION = 1
INDEX = "index.json"
_STEPS, _SCALE = "#steps", "#scale"
NET, AVERAGE, MUON = "net.", "average.", "optimiser.muon."
"""Prefixes that decide how the compact form stores a tensor."""


def save(
    folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, compact: bool = False
) -> None:
    """Write a state, replacing the one that is there.

    Parameters
    ----------
    folder
        Made if missing.
    tensors
        On any device.
    facts
        Plain data that ``load`` returns beside the tensors.
    compact
        Whether to round as above.
    """
    from safetensors.torch import save as to_bytes

    stored = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    stored = _compacted(stored) if compact else stored
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for pieces in _packed(stored):
        data = to_bytes(pieces)
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:16]}.shard"
        shards.append({"file": name, "sha256": digest, "size_bytes": len(data)})
        write_atomically(folder / name, data)
    shapes = {name: list(tensor.shape) for name, tensor in stored.items()}
    index = {
        "format_version": FORMAT_VERSION,
        "facts": dict(facts),
        "shards": shards,
        "shapes": shapes,
    }
    write_atomically(folder / INDEX, json.dumps(index).encode())
    kept = {shard["file"] for shard in shards}
    for old in folder.glob("*.shard"):
        if old.name not in kept:
            old.unlink()


def exists(folder: Path) -> bool:
    """Return whether a state lies there."""
    return (folder / INDEX).is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the facts of a state alone.

    Raises
    ------
    DatasetError
        If there is no readable state.
    """
    facts: dict[str, Any] = _index(folder)["facts"]
    return facts


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, on the CPU and unpacked, and facts.

    Raises
    ------
    DatasetError
        If there is no state, or a shard is missing or damaged.
    """
    from safetensors.torch import load as from_bytes

    index = _index(folder)
    pieces: dict[str, list[tuple[int, Tensor]]] = {}
    for shard in index["shards"]:
        path = folder / shard["file"]
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != shard["sha256"]:
            raise DatasetError(
                f"{path}: a part of the training state is {'damaged' if data else 'missing'}",
                f"Copy it again, or remove {folder} to start anew.",
            )
        for key, piece in from_bytes(data).items():
            name, _, offset = key.rpartition("@")
            pieces.setdefault(name, []).append((int(offset), piece))
    stored = {
        name: torch.cat([piece for _, piece in sorted(parts, key=lambda p: p[0])]).reshape(
            index["shapes"][name]
        )
        for name, parts in pieces.items()
    }
    return _expanded(stored), index["facts"]


def _index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        version = index["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder} holds no training state that can be read ({error})",
            "Remove it to start anew.",
        ) from error
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{folder} is a training state of version {version}, wanted {FORMAT_VERSION}",
            "Continue it with the release that wrote it, or remove it to start anew.",
        )
    return index


def _packed(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield pieces by ``NAME@OFFSET``, in sets that fit into one shard each."""
    shard: dict[str, Tensor] = {}
    room = SHARD_BYTES
    for name, tensor in tensors.items():
        flat = tensor.reshape(-1)
        start = 0
        while start < flat.numel() or not flat.numel():
            count = min(flat.numel() - start, room // flat.element_size())
            if not count and flat.numel():
                yield shard
                shard, room = {}, SHARD_BYTES
                continue
            shard[f"{name}@{start}"] = flat[start : start + count].clone()
            room -= count * flat.element_size()
            start += count
            if not flat.numel():
                break
    if shard:
        yield shard


def _compacted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        weight = tensor.ndim == 4
        if weight and name.startswith(NET):
            stored[name] = tensor.half()
        elif weight and name.startswith(AVERAGE):
            base = tensors[NET + name.removeprefix(AVERAGE)].half().float()
            stored |= _stepped(name, tensor - base)
        elif name.startswith(MUON):
            stored |= _stepped(name, tensor)
        else:
            stored[name] = tensor
    return stored


def _stepped(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return 8-bit integers and one scale per output."""
    rows = tensor.reshape(tensor.shape[0], -1)
    scale = rows.abs().amax(1).clamp_min(1e-30) / 127
    steps = torch.round(rows / scale[:, None]).to(torch.int8).reshape(tensor.shape)
    return {name + _STEPS: steps, name + _SCALE: scale}


def _expanded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, tensor in stored.items():
        if key.endswith(_SCALE):
            continue
        if key.endswith(_STEPS):
            name = key.removesuffix(_STEPS)
            scale = stored[name + _SCALE].reshape(-1, *[1] * (tensor.ndim - 1))
            tensors[name] = tensor.float() * scale
        else:
            tensors[key] = tensor.float() if tensor.dtype == torch.half else tensor
    for key in [k for k in tensors if k.startswith(AVERAGE) and k + _STEPS in stored]:
        tensors[key] = tensors[key] + tensors[NET + key.removeprefix(AVERAGE)]
    return tensors
