"""Checkpoints of yours as a codec, without code: ``compressai:arch=ARCH,weights=GLOB``.

``arch`` is a name of CompressAI's registry, ``package.module:Class`` or ``path/file.py:Class``.
Every file is loaded, and codes a small picture, before anything is measured: in a process of its
own, so that neither torch nor the user's code comes into ours. What was found there is the codec's
``Details``, which worker processes are given.
"""

from __future__ import annotations

import glob
import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.codec import Parameter, Setting
from bench.codec.torch_codec import Point, TorchCodec, file_sha256, libraries
from bench.codecs.zoo import architectures
from bench.errors import BenchError, SettingError, Unavailable, UsageError, one_line, suggest
from bench.image import Image

_FORM = "Write compressai:arch=ARCH,weights=FILES[,name=NAME][,stride=NUMBER]."
_KEYS = ("arch", "weights", "name", "stride")
_BEGIN = re.compile(rf"(?:^|,)({'|'.join(_KEYS)})=")
_SUFFIXES = re.compile(r"(\.(pth|pt|tar|ckpt|bin|safetensors|model))+$")
_HASH_DIGITS = 8
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from bench.codecs.zoo import checkpoints; checkpoints.examine_in_child(*sys.argv[2:])"
)


@dataclass(frozen=True, slots=True)
class Details:
    """What was found of a word on the command line.

    Attributes
    ----------
    arch, folder
        As it was written, and the folder that it is searched from.
    name
        Of the codec.
    stride
        Multiple that the network wants of both sides, in pixels.
    files
        (path, sha256, name in settings) of each file, by rising rate.
    levels
        How many rates each file has.
    code
        Path -> sha256 of the user's own Python files that make the network.
    """

    arch: str
    folder: str
    name: str
    stride: int
    files: tuple[tuple[str, str, str], ...]
    levels: int = 1
    code: tuple[tuple[str, str], ...] = ()

    @property
    def json(self) -> str:
        """As plain text, for other processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Details:
        """Return what ``json`` wrote."""
        found = json.loads(text)
        for name in ("files", "code"):
            found[name] = tuple(tuple(entry) for entry in found[name])
        return cls(**found)


class CheckpointCodec(TorchCodec):
    """A network of CompressAI's kind with checkpoints; each word makes a subclass."""

    in_default_run = False
    details: ClassVar[Details]

    def __init__(self) -> None:
        for path, digest in self.details.code:
            if not Path(path).is_file() or file_sha256(Path(path)) != digest:
                raise Unavailable(
                    f"{path} was changed while it was used",
                    "Run again: its results are another codec's.",
                )

    def build(self, state: dict[str, Any]) -> Any:  # noqa: ANN401 - an untyped torch module
        """Return the network of a state dictionary, whose shapes decide its widths."""
        return architectures.build(self.details.arch, self.details.folder, state)

    def points(self) -> Iterator[tuple[Setting, Point]]:
        """Yield every checkpoint, and every level of one that has several."""
        several = self.details.levels > 1
        for path, digest, name in self.details.files:
            for level in range(self.details.levels):
                setting = Setting(checkpoint=name, **({"level": level} if several else {}))
                yield setting, Point(Path(path), digest, level)

    @cached_property
    def _known(self) -> dict[Setting, Point]:
        return dict(self.points())

    def point(self, setting: Setting) -> Point:
        """Return where the network of a setting comes from."""
        if setting not in self._known:
            raise SettingError(f"{self.name} has no checkpoint {setting.json}")
        return self._known[setting]

    def version(self) -> str:
        """Return the libraries' versions, and the hash of the network's own code."""
        if not self.details.code:
            return libraries()
        digest = hashlib.sha256(repr([sha for _, sha in self.details.code]).encode())
        return f"{libraries()}, {_short(self.details.arch)} {digest.hexdigest()[:_HASH_DIGITS]}"

    def compress(self, net: Any, x: Any, setting: Setting) -> dict[str, Any]:  # noqa: ANN401
        """Return strings and shape; a network with several rates is given the level."""
        found: dict[str, Any] = net.compress(x, **self._options(net, setting))
        return found

    def decompress(self, net: Any, strings: Any, shape: Any, setting: Setting) -> Any:  # noqa: ANN401
        """Return the picture; see ``compress``."""
        return net.decompress(strings, shape, **self._options(net, setting))["x_hat"]

    def _options(self, net: Any, setting: Setting) -> dict[str, int]:  # noqa: ANN401
        """Return what ``compress`` takes beside the picture; the tables are set for the level."""
        if self.details.levels == 1:
            return {}
        level = int(setting["level"])
        shapes_alone = next(net.parameters()).is_meta
        if getattr(net, "bench_level", None) != level and not shapes_alone:
            if "scale" in inspect.signature(net.update).parameters:
                net.update(force=True, scale=net.Gain[level].abs())
            net.bench_level = level
        return {"s": level}


def _short(arch: str) -> str:
    """Return the class of an architecture, or its name."""
    return arch.rpartition(":")[2]


def codec_class(details: str) -> type[CheckpointCodec]:
    """Return the codec of what ``examine`` found."""
    found = Details.from_json(details)
    names = tuple(name for _, _, name in found.files)
    files = Parameter("checkpoint", names[len(names) // 2], "which file of weights", choices=names)
    most = found.levels - 1
    level = Parameter("level", most // 2, "which rate of the network", low=0, high=most)
    several = found.levels > 1
    return type(
        "CheckpointCodec",
        (CheckpointCodec,),
        {
            "__module__": __name__,
            "__doc__": CheckpointCodec.__doc__,
            "name": found.name,
            "title": f"{_short(found.arch)}, {len(names)} checkpoints of yours",
            "rate": "level" if several else "checkpoint",
            "parameters": (files, level) if several else (files,),
            "stride": found.stride,
            "details": found,
        },
    )


def canonical(text: str) -> str:
    """Return a word of the command line as it is remembered: paths absolute.

    Raises
    ------
    UsageError
        If it is no such word; in particular if it names no weights, since a network without them
        gives numbers as well.
    """
    found = _parse(text)
    for key in ("arch", "weights"):
        if key not in found:
            why = ": random weights are never measured" if key == "weights" else ""
            raise UsageError(f"{text!r} has no {key}={why}", _FORM)
    folder = Path.cwd()
    pattern = os.path.expanduser(found["weights"])  # noqa: PTH111 - a pattern, not a path
    if Path(pattern).is_file():
        pattern = glob.escape(pattern)
    found["weights"] = str(Path(glob.escape(str(folder)), pattern))
    options = ",".join(f"{key}={found[key]}" for key in _KEYS if key in found)
    return f"compressai:{options}"


def _parse(text: str) -> dict[str, str]:
    """Return key -> value; a comma within a path is no new key."""
    rest = text.partition(":")[2]
    begins = list(_BEGIN.finditer(rest))
    if not begins or begins[0].start() != 0:
        key = re.split("[=,]", rest)[0]
        if not key:
            raise UsageError(f"{text!r} has no arch= and no weights=", _FORM)
        raise UsageError(
            f"{text!r} names no codec: unknown key {key!r}", f"{suggest(key, list(_KEYS))} {_FORM}"
        )
    ends = [*(begin.start() for begin in begins[1:]), len(rest)]
    found: dict[str, str] = {}
    for begin, end in zip(begins, ends, strict=True):
        value = rest[begin.end() : end].strip()
        if begin[1] in found or not value:
            raise UsageError(f"{text!r} says {begin[1]}= {'twice' if value else 'nothing'}", _FORM)
        found[begin[1]] = value
    if not found.get("stride", "1").isdigit() or not 1 <= int(found.get("stride", 1)) <= 4096:
        raise UsageError(f"stride must be a whole number from 1 to 4096, found {found['stride']}")
    return found


def _named(word: str) -> Details:
    """Return what a word says and which files that is, in natural order of their names."""
    found = _parse(word)
    paths = [Path(path) for path in glob.glob(found["weights"]) if Path(path).is_file()]  # noqa: PTH207
    if not paths:
        raise UsageError(
            f"weights={found['weights']}: no such file",
            "A relative path is searched from the current folder; FOLDER/*.pth.tar names several.",
        )
    paths.sort(key=lambda path: _natural(str(path)))
    hashes = [file_sha256(path) for path in paths]
    for one, two in zip(sorted(hashes), sorted(hashes)[1:], strict=False):
        if one == two:
            same = [path.name for path, digest in zip(paths, hashes, strict=True) if digest == one]
            raise UsageError(f"{' and '.join(same)} are the same file", "Leave all but one out.")
    words = _distinct(paths)
    labels = [
        f"{one_line(word, 200)} {digest[:_HASH_DIGITS]}"
        for word, digest in zip(words, hashes, strict=True)
    ]
    texts = [str(path) for path in paths]
    name = found.get("name") or _default_name(found["arch"], paths)
    files = tuple(zip(texts, hashes, labels, strict=True))
    return Details(found["arch"], str(Path.cwd()), name, int(found.get("stride", 64)), files)


def _natural(text: str) -> list[tuple[bool, float, str]]:
    """Return a key that sorts q2 before q10, and lambda0.01 before lambda0.1."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(i % 2 == 1, float(p) if i % 2 else 0.0, p) for i, p in enumerate(parts)]


def _distinct(paths: list[Path]) -> list[str]:
    """Return the files' names, with as many folders as tell them apart."""
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        words = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(words)) == len(words):
            break
    return words


def _default_name(arch: str, paths: list[Path]) -> str:
    """Return the architecture and the file's name, or the folder's of several."""
    word = _SUFFIXES.sub("", paths[0].name)
    if len(paths) > 1:
        word = Path(os.path.commonpath([path.parent for path in paths])).name
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", f"{_short(arch)}-{word}")
    return name.lstrip("._+-")[:64]


def _picture() -> Image:
    """Return a small picture with coarse and fine structure; it orders the files by rate."""
    rows, columns = np.mgrid[0:64, 0:128]
    noise = np.random.default_rng(1).normal(0, 12, (64, 128, 3))
    waves = [128 + 90 * np.sin(rows / (5 + k) + columns * k / 40) for k in range(3)]
    picture: Image = (np.stack(waves, axis=-1) + noise).clip(0, 255).round().astype(np.uint8)
    return picture


def examine(word: str) -> Details:
    """Load every checkpoint and code a small picture with it; return the files by rising rate.

    Raises
    ------
    BenchError
        If the architecture or a file cannot be used.
    """
    named, sizes, levels = _named(word), {}, set()
    for file in named.files:
        only = replace(named, files=(file,))
        codec = codec_class(only.json)()
        setting = codec.ladder()[0]
        levels.add(architectures.levels(codec.network(setting)))
        if levels != {1}:
            codec = codec_class(replace(only, levels=max(levels)).json)()
            setting = codec.ladder()[0]
        data = codec.encode(_picture(), setting)
        codec.decode(data)
        sizes[file] = len(data)
    if len(levels) > 1 or (levels != {1} and len(sizes) > 1):
        raise UsageError(
            f"{named.name}: one of the {len(sizes)} files has several rates",
            "Name it alone: one file with several rates is a curve of its own.",
        )
    files = tuple(sorted(sizes, key=lambda file: sizes[file]))
    code = architectures.own_code(named.arch, named.folder)
    return replace(named, files=files, levels=levels.pop(), code=code)


def is_outdated(word: str, details: str) -> bool:
    """Return whether the files of a word, or the code, are others than when it was examined."""
    before = Details.from_json(details)
    code = [Path(path).is_file() and (path, file_sha256(Path(path))) for path, _ in before.code]
    return set(before.files) != set(_named(word).files) or list(before.code) != code


def examine_in_child(word: str, path: str) -> None:
    """Write what ``examine`` finds, or its error, to a file."""
    try:
        found = {"details": examine(word).json}
    except BenchError as error:
        found = {"what": error.what, "next_step": error.next_step}
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        found = {"what": f"{type(error).__name__}: {one_line(error)}", "next_step": ""}
    Path(path).write_text(json.dumps(found), encoding="utf-8")


def details_of(word: str) -> str:
    """Return what ``examine`` finds in a process of its own, as text.

    Raises
    ------
    UsageError
        If the architecture or a file cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        verdict = Path(folder, "verdict.json")
        words = [sys.executable, "-W", "ignore", "-c", _CODE, json.dumps(sys.path), word]
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [*words, str(verdict)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        found = json.loads(verdict.read_text("utf-8")) if verdict.is_file() else {}
    if "details" not in found:
        died = f"the process that loads it ended with {done.returncode}"
        what = found.get("what") or f"{died}: {one_line(done.stderr.strip()[-300:])}"
        raise UsageError(f"{_parse(word)['arch']}: {what}", found.get("next_step", ""))
    return str(found["details"])
