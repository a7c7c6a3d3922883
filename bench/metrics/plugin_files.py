"""Plug-ins that a command line names by a file: found, imported and known to child processes."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Named:
    """What was named so far, here or in the process that started this one.

    Attributes
    ----------
    variable
        The environment variable that keeps it, so that worker processes know it too.
    """

    variable: str

    def known(self) -> dict[str, str]:
        """Return word -> what was remembered of it: the sha256 of its file."""
        try:
            found = json.loads(os.environ.get(self.variable, "{}"))
        except ValueError:
            return {}
        return {str(word): str(digest) for word, digest in found.items()} if found else {}

    def remember(self, word: str, digest: str) -> None:
        """Let this process and its children know a word."""
        if word not in (words := self.known()):
            os.environ[self.variable] = json.dumps({**words, word: digest})

    def forget(self, word: str) -> None:
        """Take a word back that turned out to be of no use."""
        left = {known: digest for known, digest in self.known().items() if known != word}
        os.environ[self.variable] = json.dumps(left)


def sha256_of(path: Path) -> str:
    """Return the hash of a file; it is read again only if its size or time changed."""
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_of(path: Path, name: str, base: type, kind: str) -> type[Any]:
    """Return a class of a Python file: the one called ``name``, or the only one that has a name.

    Parameters
    ----------
    path
        The file, which may import what lies beside it.
    name
        Of the class; may be empty.
    base
        What it must be a subclass of.
    kind
        ``codec`` or ``metric``, for messages.

    Raises
    ------
    UsageError
        If the file holds no such class.
    Exception
        Whatever the file raises when it is imported.
    """
    module = import_file(path)
    found = {
        key: member
        for key, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, base) and member.__module__ == module.__name__
    }
    named = {key: member for key, member in found.items() if hasattr(member, "name")}
    chosen = found if name else named
    if name in chosen:
        return chosen[name]
    if not name and len(chosen) == 1:
        return next(iter(chosen.values()))
    words = ", ".join(f"{path.name}:{key}" for key in chosen) or "none"
    wanted = f"no {kind} class {name}" if name else f"{len(chosen)} {kind} classes"
    raise UsageError(
        f"{path} holds {wanted}; its subclasses of {base.__module__}.{base.__name__}: {words}",
        "Name one of them." if chosen else f"Write one: see CONTRIBUTING, Add a {kind}.",
    )


def import_file(path: Path) -> ModuleType:
    """Return the module of a file, which may import what lies beside it."""
    name = f"bench_plugin_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
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
