"""CompressAI, which not every machine has: it wants NumPy below 2 and has no wheel for Python 3.13.

Its code runs with NumPy 2 all the same, so there it is installed by hand, without its
dependencies, which the extra ``zoo`` brings.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from bench.errors import Unavailable

_INSTALL = (
    "Install it: pip install 'agvae-bench[zoo]' && pip install --no-deps compressai "
    "(where it has no wheel this compiles C++)."
)


def installed() -> Distribution:
    """Return what is installed, without importing it.

    Raises
    ------
    Unavailable
        If it is not installed; with the command that installs it.
    """
    try:
        return distribution("compressai")
    except PackageNotFoundError:
        raise Unavailable("compressai is not installed", _INSTALL) from None


def load(module: str) -> Any:  # noqa: ANN401 - a module of an untyped package
    """Return a module of CompressAI, such as ``zoo.image``, and torch with it: it takes seconds.

    Raises
    ------
    Unavailable
        If it is not installed, or cannot be imported here: the reason says what is missing.
    """
    library = installed()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates what CompressAI still calls
            return import_module(f"compressai.{module}")
    except Exception as error:
        raise Unavailable(
            f"compressai {library.version} cannot be imported ({type(error).__name__}: {error})",
            _INSTALL,
        ) from error
