"""Codecs that ``--codec`` names by files: a Python class, a command in TOML, or checkpoints.

What was named is kept in an environment variable, so that worker processes know it too.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

from bench.codec import Codec
from bench.errors import UsageError
from bench.metrics.plugin_files import Named, class_of, sha256_of
from bench.registry.command import codec_class

_NAMED = Named("BENCH_CODEC_FILES")
known = _NAMED.known
_CHECKPOINTS = "compressai"
_OF_CHECKPOINTS = "bench.codecs.zoo.checkpoints"
_WORD = re.compile(
    r"(?P<file>[^:]+\.(?:py|toml))(?::(?P<cls>[A-Za-z_]\w*)(?![\w=]))?(?::(?P<rest>.*))?"
)


def split(text: str) -> tuple[str, str] | None:
    """Return ``FILE.py:Class`` or ``FILE.toml`` and the options behind it; None: no file is named.

    A path has a ``/`` or ends in ``.py`` or ``.toml`` before its first colon. Checkpoints are
    named by ``compressai:arch=...,weights=...``.

    Raises
    ------
    UsageError
        If it is a path that no codec can come from.
    """
    head = text.partition(":")[0]
    if head == _CHECKPOINTS:
        return str(importlib.import_module(_OF_CHECKPOINTS).canonical(text)), ""
    if "/" not in head and not head.endswith((".py", ".toml")):
        return None
    found = _WORD.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text!r} names no codec",
            "Write FILE.py:Class, FILE.toml or the name of a codec, each with :OPTION=VALUE,...",
        )
    path = Path(found["file"]).expanduser()
    if not path.is_file():
        raise UsageError(f"{path}: no such file", "Check the path.")
    if path.suffix == ".toml" and found["cls"]:
        raise UsageError(f"{path} has no classes", f"Write {path}.")
    cls = f":{found['cls']}" if found["cls"] else ""
    return f"{path.resolve()}{cls}", found["rest"] or ""


def without_options(text: str) -> str:
    """Return a word that ``split`` takes without the options behind it, its path as it is."""
    found = None if is_checkpoints(text) else _WORD.fullmatch(text)
    if found is None:
        return text
    return found["file"] + (f":{found['cls']}" if found["cls"] else "")


def is_checkpoints(word: str) -> bool:
    """Return whether a word names checkpoints, which were examined when they were named."""
    return word.startswith(f"{_CHECKPOINTS}:")


def _path(word: str) -> Path:
    return Path(word.partition(":")[0])


def configured() -> list[str]:
    """Return the commands in TOML of the user's configuration folder."""
    from platformdirs import user_config_path

    folder = user_config_path("agvae-bench", appauthor=False) / "codecs"
    return sorted(str(path.resolve()) for path in folder.glob("*.toml"))


def name_of(word: str) -> str:
    """Return the name of the codec of a file, which ``registry.create`` knows from now on.

    Raises
    ------
    UsageError
        If the file holds no codec, or cannot be imported.
    """
    from bench import registry

    if is_checkpoints(word) and _is_outdated(word):
        _NAMED.forget(word)  # in a notebook, where training went on meanwhile
    if word not in known():
        if is_checkpoints(word):
            found = importlib.import_module(_OF_CHECKPOINTS).details_of(word)
        else:
            found = sha256_of(_path(word))
        _NAMED.remember(word, found)
        registry.discover.cache_clear()
    for item in registry.discover().values():
        if item.source == word:
            if item.cls is None:
                about = "" if item.reason.startswith(word) else f"{word} cannot be used: "
                raise UsageError(f"{about}{item.reason}")
            return item.name
    raise UsageError(f"{word} cannot be used")


def _is_outdated(word: str) -> bool:
    checkpoints = importlib.import_module(_OF_CHECKPOINTS)
    return word in known() and bool(checkpoints.is_outdated(word, known()[word]))


def load(word: str) -> type[Codec]:
    """Return the class of ``FILE.py:Class``, ``FILE.py`` with one codec in it, or ``FILE.toml``.

    Its version says the hash of the file, so that results of an edited file are its own.

    Raises
    ------
    UsageError
        If the file holds no such codec.
    Exception
        Whatever the file raises when it is imported.
    """
    if is_checkpoints(word):
        checkpoints = importlib.import_module(_OF_CHECKPOINTS)
        made: type[Codec] = checkpoints.codec_class(known()[word])
        return made
    path, digest = _path(word), known().get(word)
    if digest not in (None, sha256_of(path)):
        raise UsageError(
            f"{path} was changed while it was used", "Run again: its results are another codec's."
        )
    name = word.partition(":")[2]
    toml = path.suffix == ".toml"
    cls = codec_class(path) if toml else class_of(path, name, Codec, "codec")
    return _with_hash(cls, path)


def _with_hash(cls: type[Codec], path: Path) -> type[Codec]:
    """Return a subclass whose version ends with the name and hash of its file."""
    digest = sha256_of(path)[:8]
    version: Callable[[Codec], str] = cls.version

    def with_hash(self: Codec) -> str:
        return f"{version(self)}, {path.name} {digest}"

    body = {"version": with_hash, "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(
        cls.__name__, (cls,), {**body, **{k: v for k, v in vars(cls).items() if k == "name"}}
    )
