"""Codecs that ``--codec`` names by a file: a Python class, or a command in TOML.

What was named is kept in an environment variable, so that worker processes know it too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from bench.codec import Codec
from bench.errors import UsageError
from bench.registry.command import codec_class

_VARIABLE = "BENCH_CODEC_FILES"
_WORD = re.compile(
    r"(?P<file>[^:]+\.(?:py|toml))(?::(?P<cls>[A-Za-z_]\w*)(?![\w=]))?(?::(?P<rest>.*))?"
)


def split(text: str) -> tuple[str, str] | None:
    """Return ``FILE.py:Class`` or ``FILE.toml`` and the options behind it; None: no file is named.

    A path has a ``/`` or ends in ``.py`` or ``.toml`` before its first colon.

    Raises
    ------
    UsageError
        If it is a path that no codec can come from.
    """
    head = text.partition(":")[0]
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


def known() -> dict[str, str]:
    """Return what was named so far, here or in the process that started this one.

    Returns
    -------
    dict
        ``FILE.py:Class`` or ``FILE.toml`` -> sha256 of the file when it was named.
    """
    try:
        found = json.loads(os.environ.get(_VARIABLE, "{}"))
    except ValueError:
        return {}
    return {str(word): str(digest) for word, digest in found.items()} if found else {}


def remember(word: str) -> None:
    """Let this process and its children know the codec of a file."""
    if word not in (words := known()):
        os.environ[_VARIABLE] = json.dumps({**words, word: _digest(_path(word))})


def _path(word: str) -> Path:
    return Path(word.partition(":")[0])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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

    if word not in known():
        remember(word)
        registry.discover.cache_clear()
    for item in registry.discover().values():
        if item.source == word:
            if item.cls is None:
                raise UsageError(f"{word} cannot be used: {item.reason}")
            return item.name
    raise UsageError(f"{word} cannot be used")


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
    path, digest = _path(word), known().get(word)
    if digest not in (None, _digest(path)):
        raise UsageError(
            f"{path} was changed while it was used", "Run again: its results are another codec's."
        )
    name = word.partition(":")[2]
    cls = codec_class(path) if path.suffix == ".toml" else _of_module(path, name)
    return _with_hash(cls, path)


def _of_module(path: Path, name: str) -> type[Codec]:
    module = _import(path)
    found = {
        key: member
        for key, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Codec) and member.__module__ == module.__name__
    }
    usable = {key: member for key, member in found.items() if hasattr(member, "name")}
    chosen = found if name else usable
    if name in chosen:
        return chosen[name]
    if not name and len(chosen) == 1:
        return next(iter(chosen.values()))
    words = ", ".join(f"{path.name}:{key}" for key in chosen) or "none"
    wanted = f"no codec class {name}" if name else f"{len(chosen)} codec classes"
    raise UsageError(
        f"{path} holds {wanted}; its subclasses of bench.codec.Codec: {words}",
        "Name one of them." if chosen else "Write one: see README, Add a codec.",
    )


def _import(path: Path) -> ModuleType:
    """Return the module of a file, which may import what lies beside it."""
    name = f"bench_codec_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _with_hash(cls: type[Codec], path: Path) -> type[Codec]:
    """Return a subclass whose version ends with the name and hash of its file."""
    digest = _digest(path)[:8]
    version: Callable[[Codec], str] = cls.version

    def with_hash(self: Codec) -> str:
        return f"{version(self)}, {path.name} {digest}"

    body = {"version": with_hash, "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(
        cls.__name__, (cls,), {**body, **{k: v for k, v in vars(cls).items() if k == "name"}}
    )
