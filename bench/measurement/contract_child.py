"""Run in a fresh process by ``contract``: ``... contract_child decode|damage CODEC FOLDER``.

``decode`` writes what each file decodes to beside it, as NAME.npy.
``damage`` prints what became of each damaged file, within a bounded address space.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import registry
from bench.codec import Codec
from bench.errors import DecodeError, failure

HEADROOM_BYTES = 2 << 30


def decode(codec: Codec, folder: Path) -> list[str]:
    """Save every file's picture; return the names of the files."""
    paths = sorted(folder.iterdir())
    for path in paths:
        np.save(folder / f"{path.name}.npy", codec.decode(path.read_bytes()))
    return [path.name for path in paths]


def damaged(data: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield truncated, bit-flipped, overwritten, extended and foreign bytes."""
    size = len(data)
    yield "half", data[: size // 2]
    for cut in {0, 1, 7, 8, 20, size // 4, 3 * size // 4, size - 1} - {size // 2, size}:
        yield f"first {cut}", data[: max(cut, 0)]
    for position in {*range(min(size, 48)), *rng.integers(0, size, 40).tolist()}:
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            yield f"byte {position} ^ {mask}", bytes(changed)
    for trial in range(20):
        changed = bytearray(data)
        for position in rng.integers(0, size, 6):
            changed[position] = rng.integers(256)
        yield f"six bytes, {trial}", bytes(changed)
    yield "trailing byte", data + b"\x00"
    yield "zeros", bytes(size)
    yield "noise", rng.bytes(300)
    yield "head and noise", data[:40] + rng.bytes(300)
    yield "text", b"no image at all"


def damage(codec: Codec, folder: Path) -> dict[str, str]:
    """Return ``DecodeError``, ``image`` or another exception for each damaged file."""
    paths = sorted(folder.iterdir())
    for path in paths:
        codec.decode(path.read_bytes())  # libraries and weights count as the baseline
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM_BYTES, resource.RLIM_INFINITY))
    rng = np.random.default_rng(7)
    outcomes = {}
    for path in paths:
        for what, data in damaged(path.read_bytes(), rng):
            outcomes[f"{path.name}: {what}"] = outcome(codec, data)
    return outcomes


def outcome(codec: Codec, data: bytes) -> str:
    """Return what decoding ``data`` came to: the text of a failed cell where it is an error."""
    try:
        picture = codec.decode(data)
    except DecodeError:
        return "DecodeError"
    except BaseException as error:  # noqa: BLE001 - a native library may raise anything
        return failure(error, type(codec))
    sound = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    return "image" if sound and picture.size else f"{picture.dtype} of {picture.shape}"


if __name__ == "__main__":
    action, name, place = sys.argv[1:]
    sys.stdout.write(json.dumps(globals()[action](registry.create(name), Path(place))))
