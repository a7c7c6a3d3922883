"""What else changed between a baseline and today: libraries, CPU, weights, metrics.

A probe of each metric on one fixed pair of images is part of the record, so that a changed metric
is told from a changed codec.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import metrics as metrics_of
from bench.codec import Codec
from bench.image import Image
from bench.measurement import provenance

Kind = Literal["codec", "weights", "library", "cpu", "metric", "commit"]

_PROBE_SIDE = 192
_PROBE_DIGITS = 6
_PROBE_NOISE = 1e-4  # MS-SSIM runs in float32 filters, which differ a little between CPUs


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was.

    Attributes
    ----------
    kind
        What sort of thing.
    name
        Which one: a library, a codec, a metric.
    before, after
        In the baseline, and now; ``absent`` where it was not there.
    """

    kind: Kind
    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.after}"


def record(codecs: Iterable[Codec], metrics: Iterable[metrics_of.Metric]) -> dict[str, Any]:
    """Return what the rows of ``codecs`` and ``metrics`` may depend on: plain data for JSON."""
    return {
        **provenance.record(),
        "codecs": {codec.name: _codec_record(codec) for codec in codecs},
        "metrics": {
            metric.name: {"version": metric.version, "probe": probe(metric)} for metric in metrics
        },
    }


def _codec_record(codec: Codec) -> dict[str, Any]:
    found: dict[str, Any] = {"version": codec.version(), "format_version": codec.format_version}
    if codec.weights_sha256:
        found["weights_sha256"] = codec.weights_sha256
    return found


@cache
def code_sha256() -> str:
    """Return the hash of every file of the suite: all of ``bench``, ``codecs`` and ``datasets``."""
    root = Path(__file__).parents[1]
    # A walk does not follow the links that the latter two may be.
    return _folders_sha256((root, root / "codecs", root / "datasets"))


def _folders_sha256(folders: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(folder).as_posix().encode(errors="surrogatepass"))
                digest.update(b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def program_sha256(codecs: Iterable[Codec], metrics: Iterable[metrics_of.Metric] = ()) -> str:
    """Return a hash of the program and its machine: equal, so results are the same.

    It covers the suite, the installed libraries, the processor, the variables that choose among its
    instructions, and of codecs and metrics of other packages the whole package.
    """
    machine = provenance.record()
    parts: list[object] = [code_sha256(), sorted(provenance.package_versions().items())]
    parts += [machine.get(name) for name in ("cpu", "cpu_flags", "system", "gpu")]
    parts += [sorted((k, v) for k, v in os.environ.items() if _INSTRUCTIONS.search(k))]
    for codec in codecs:
        parts += [_codec_record(codec), _source_sha256(type(codec))]
    parts += [(metric.version, _source_sha256(metric.score)) for metric in metrics]
    return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


_INSTRUCTIONS = re.compile(r"CAPABILITY|_ISA|CPU_FEATURES|SIMD|CPU_DISABLE|MKL_CBWR|CORETYPE")
"""Variables by which PyTorch, oneDNN, NumPy, OpenCV, libjpeg-turbo, MKL and OpenBLAS choose."""


def _source_sha256(member: Any) -> str:  # noqa: ANN401 - a class or a function
    """Return the hash of the package, or of the one file, that defines ``member``; or nothing."""
    top = str(getattr(member, "__module__", "")).partition(".")[0]
    folders = getattr(sys.modules.get(top), "__path__", ())
    if top == "bench":
        return ""  # is in code_sha256
    if folders:
        return _folders_sha256(map(Path, folders))
    path = getattr(sys.modules.get(top), "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def _probe_pair() -> tuple[Image, Image]:
    """Return two fixed images by integer arithmetic alone: a pattern, and it with an error."""
    y, x = np.mgrid[:_PROBE_SIDE, :_PROBE_SIDE]
    pattern = np.stack([(x * x // 97 + 3 * y) % 251, (x + y * y // 61) % 241, x * y // 151], -1)
    error = (x * 7 + y * 13)[..., None] % np.array([5, 7, 11])
    reference = np.clip(pattern, 0, 255)
    return reference.astype(np.uint8), np.clip(reference + error - 3, 0, 255).astype(np.uint8)


def probe(metric: metrics_of.Metric) -> float | None:
    """Return the score of a fixed pair of images; None where it is not defined."""
    try:
        return round(metric(*_probe_pair()), _PROBE_DIGITS)
    except metrics_of.Undefined:
        return None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two records; what only one of them knows of is left out."""
    found = _libraries(before, after)
    for name in ("cpu", "system", "gpu"):
        found += _one("cpu", name, before.get(name), after.get(name))
    # An installed wheel knows no commit.
    found += _one("commit", "commit", before.get("commit") or None, after.get("commit") or None)
    found += _flags(before.get("cpu_flags"), after.get("cpu_flags"))
    found += _parts(before, after, "codecs", "codec")
    found += _parts(before, after, "metrics", "metric")
    return found


def _one(kind: Kind, name: str, before: object, after: object) -> list[Difference]:
    if before is None or after is None or before == after:
        return []
    return [Difference(kind, name, str(before) or "none", str(after) or "none")]


def _libraries(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    old, new = before.get("versions"), after.get("versions")
    if not old or not new:
        return []
    return [
        Difference("library", name, old.get(name, "absent"), new.get(name, "absent"))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _flags(before: Sequence[str] | None, after: Sequence[str] | None) -> list[Difference]:
    if before is None or after is None or set(before) == set(after):
        return []
    lost, gained = (
        " ".join(sorted(set(a) - set(b))) or "none" for a, b in ((before, after), (after, before))
    )
    return [Difference("cpu", "CPU flags", f"with {lost}", f"with {gained}")]


def _parts(
    before: Mapping[str, Any], after: Mapping[str, Any], part: str, kind: Kind
) -> list[Difference]:
    """Compare the records of codecs or metrics that both sides have."""
    old, new = before.get(part, {}), after.get(part, {})
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return []  # a run's record lists names only
    found: list[Difference] = []
    for name in old.keys() & new.keys():
        for entry in ("version", "format_version", "probe", "weights_sha256"):
            this: Kind = "weights" if entry == "weights_sha256" else kind
            words = name if entry == "version" else f"{name} {entry.replace('_', ' ')}"
            a, b = old[name].get(entry), new[name].get(entry)
            if not (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= _PROBE_NOISE):
                found += _one(this, words, a, b)
    return sorted(found, key=lambda d: d.name)


def concerning(
    all_of: Iterable[Difference], codec: str, libraries: Iterable[str]
) -> list[Difference]:
    """Return the differences that may bear on one codec's files and pixels.

    Parameters
    ----------
    all_of
        Everything that differs.
    codec
        Its name.
    libraries
        Packages that it is made of or runs on; ``cpu`` stands for the processor.
    """
    wanted = set(libraries)
    return [
        d
        for d in all_of
        if (d.kind in ("codec", "weights") and d.name.split()[0] == codec)
        or (d.kind == "library" and d.name in wanted)
        or (d.kind == "cpu" and "cpu" in wanted and d.name != "gpu")
    ]


def explains(difference: Difference, libraries: Iterable[str], *, own: bool) -> bool:
    """Return whether a difference makes the verdict ``environment``: the library is another.

    Parameters
    ----------
    difference
        One that concerns the codec.
    libraries
        Packages that do the codec's work.
    own
        Whether the codec's version is this project's own doing (its weights, say).
    """
    if difference.kind == "library":
        return difference.name in set(libraries)
    return difference.kind == "codec" and not own and "format version" not in difference.name
