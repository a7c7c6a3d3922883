"""What the shell offers after Tab: names of codecs, datasets and metrics.

Finding codecs imports their libraries, which is too slow for a key; the names are kept in the
user's cache until a file of a plug-in or a package that brings some changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

_BENCH = Path(__file__).resolve().parents[1]


def codecs(incomplete: str) -> list[str]:
    """Return the codecs whose names begin like ``incomplete``."""

    def find() -> list[str]:
        from bench import registry

        return [found.name for found in registry.discover().values() if found.cls]

    names = _kept("codecs", "bench.codecs", find)
    return [name for name in names if name.startswith(incomplete)]


def metrics(incomplete: str) -> list[str]:
    """Return the metrics and families of metrics whose names begin like ``incomplete``."""

    def find() -> list[str]:
        from bench import metrics

        return metrics.names()

    names = _kept("metrics", "bench.metrics", find)
    return [name for name in names if name.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """Return the datasets whose names begin like ``incomplete``."""
    names = sorted(path.stem for path in (_BENCH / "datasets").glob("*.toml"))
    return [name for name in names if name.startswith(incomplete)]


def references(incomplete: str) -> list[str]:
    """Return the published curves whose ids begin like the last word of ``incomplete``."""
    import tomllib

    before, comma, last = incomplete.rpartition(",")
    path = _BENCH / "analysis" / "published_curves.toml"
    curves = tomllib.loads(path.read_text(encoding="utf-8"))["curve"]
    return [f"{before}{comma}{one['id']}" for one in curves if str(one["id"]).startswith(last)]


def fetchable(incomplete: str) -> list[str]:
    """Return what ``bench fetch`` knows that begins like ``incomplete``."""
    metrics_ = [name.replace("_", "-") for name in metrics("")]
    names = [*datasets(""), *metrics_, *codecs("")]
    return [name for name in names if name.startswith(incomplete)]


def _kept(folder: str, group: str, find: Callable[[], list[str]]) -> list[str]:
    """Return names from the cache where they are those of what is installed now."""
    from bench.files import user_cache

    path = user_cache() / f"completion-{folder}.json"
    key = _state(_BENCH / folder, group)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return [str(name) for name in kept["names"]]
    names = find()
    with contextlib.suppress(OSError):
        from bench.files import write_atomically

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"key": key, "names": names}).encode())
    return names


def _state(folder: Path, group: str) -> str:
    """Return a text that changes with the files of a folder and the packages that add to it."""
    from importlib.metadata import entry_points

    files = sorted(p for p in folder.rglob("*") if p.suffix in {".py", ".toml"})
    about = [f"{p} {p.stat().st_mtime_ns}" for p in files]
    about += sorted(f"{point.name} {point.value}" for point in entry_points(group=group))
    return hashlib.sha256("\n".join(about).encode(errors="replace")).hexdigest()
