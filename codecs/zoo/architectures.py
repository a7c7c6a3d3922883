"""Architectures by name: of CompressAI's registry, of a package, or of a file."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.codec.torch_codec import file_sha256
from bench.codecs import _compressai
from bench.errors import UsageError, one_line, suggest
from bench.metrics.plugin_files import import_file

_NO_IMAGES = ("compressai.models.pointcloud", "compressai.models.video")
_LIBRARIES = ("bench", "compressai", "torch")
"""Whose versions are known, wherever they lie."""


def build(arch: str, folder: str, state: dict[str, Any]) -> Any:  # noqa: ANN401 - an untyped torch module
    """Return the network of a state dictionary.

    Parameters
    ----------
    arch
        A name of CompressAI's registry, ``package.module:Class`` or ``path/file.py:Class``. A class
        has ``from_state_dict``, or needs no arguments; a function takes the state dictionary.
    folder
        Where a relative path or a package that is not installed is searched.
    state
        By name.

    Raises
    ------
    UsageError
        If there is no such architecture.
    """
    if ":" not in arch:
        state = _compressai.load("zoo.pretrained").load_pretrained(state)
    make: Any = find(arch, folder)
    of_class: bool = inspect.isclass(make)
    if not of_class:
        return make(state)
    if not hasattr(make, "from_state_dict"):
        net = make()
        net.load_state_dict(state)
        return net
    options = {}
    if "vr_entbttlnck" in inspect.signature(make.from_state_dict).parameters:
        options["vr_entbttlnck"] = any(key.startswith("gayn2zqstep.") for key in state)
    return make.from_state_dict(state, **options)


def find(arch: str, folder: str) -> Callable[..., Any]:
    """Return the class or function of an architecture; see ``build``."""
    if ":" not in arch:
        return _of_registry(arch)
    place, _, name = arch.rpartition(":")
    found: Any = _module(place, folder)
    for word in name.split("."):
        found = getattr(found, word, None)
    if not callable(found):
        raise UsageError(f"{place} has no class or function {name}", "Check the name.")
    return found  # type: ignore[no-any-return]


def _of_registry(arch: str) -> Callable[..., Any]:
    _compressai.load("zoo")
    known: dict[str, Callable[..., Any]] = {
        name: cls
        for name, cls in _compressai.load("registry").MODELS.items()
        if not cls.__module__.startswith(_NO_IMAGES)
    }
    if arch not in known:
        raise UsageError(
            f"CompressAI has no architecture {arch!r} for images",
            f"{suggest(arch, sorted(known))} A class of yours: MODULE:CLASS or FILE.py:CLASS.",
        )
    return known[arch]


def _module(place: str, folder: str) -> ModuleType:
    """Return the module of a file or package, which may import what lies beside it.

    Raises
    ------
    UsageError
        If it cannot be imported.
    """
    path = Path(folder, Path(place).expanduser()) if place.endswith(".py") else None
    if path and not path.is_file():
        raise UsageError(f"{path}: no such file", "Check the path.")
    if not path and folder not in sys.path:
        sys.path.append(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_file(path.resolve()) if path else import_module(place)
    except (Exception, SystemExit) as error:
        words = one_line(f"{type(error).__name__}: {error}", 300)
        raise UsageError(f"{place} cannot be imported ({words})") from error


def own_code(arch: str, folder: str) -> tuple[tuple[str, str], ...]:
    """Return path and sha256 of the Python files that make an architecture of the user's.

    Those are the modules beside its own, or of its own package, that are loaded by now.
    """
    if ":" not in arch:
        return ()
    module = sys.modules[find(arch, folder).__module__]
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    if "." in module.__name__ and getattr(top, "__path__", None):
        root = Path(next(iter(top.__path__))).resolve()
    else:
        root = Path(str(module.__file__)).resolve().parent
    files = {
        Path(path).resolve()
        for name, loaded in list(sys.modules.items())
        if (path := getattr(loaded, "__file__", None)) and str(path).endswith(".py")
        if name.partition(".")[0] not in _LIBRARIES
    }
    own = [
        path
        for path in files
        if path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts
    ]
    return tuple((str(path), file_sha256(path)) for path in sorted(own))


def levels(net: Any) -> int:  # noqa: ANN401 - an untyped torch module
    """Return how many rates a network has: those of CompressAI's variable-rate kind several."""
    if "s" not in inspect.signature(net.compress).parameters:
        return 1
    return int(getattr(net, "levels", 1))
