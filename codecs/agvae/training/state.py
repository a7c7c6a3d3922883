"""A training state: one file from which a run continues as if it had never stopped.

It is a ``safetensors`` file whose metadata hold the facts of the run and the hash of its numbers.
It is replaced in one step, so a kill at any moment leaves the old state or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.errors import DatasetError
from bench.files import make_folder, write_atomically

FORMAT_VERSION = "2"
NET, AVERAGE = "net.", "average."
"""Prefixes of the weights, and of their average, which is what is released."""


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a state, tensors and plain data, over the one that is there; make its folder."""
    from safetensors.torch import save as to_bytes

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {
        "format_version": FORMAT_VERSION,
        "facts": json.dumps(dict(facts)),
        "sha256": _sha256(stored),
    }
    make_folder(path.parent)
    write_atomically(path, to_bytes(stored, metadata))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, on the CPU, and facts.

    Raises
    ------
    DatasetError
        If there is no state, or it is damaged or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        version, facts = metadata.get("format_version"), json.loads(metadata.get("facts", "null"))
    except (OSError, ValueError, SafetensorError) as error:
        raise DatasetError(
            f"{path} is no training state that can be read ({error})", "Remove it to start anew."
        ) from error
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{path} is a training state of version {version}, wanted {FORMAT_VERSION}",
            "Continue it with the release that wrote it, or remove it to start anew.",
        )
    if metadata.get("sha256") != _sha256(stored):
        raise DatasetError(
            f"{path}: the training state is damaged", "Copy it again, or remove it to start anew."
        )
    return stored, facts


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).numpy().tobytes())
    return digest.hexdigest()
