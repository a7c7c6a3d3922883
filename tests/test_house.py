"""The house: which room imports which, counted from the imports by ``ast``.

A room is a file or folder directly in ``bench/``, but not the symbolic links ``codecs`` and
``datasets``. Imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"

ORDER = (
    ("errors",),
    ("files", "stopwatch"),
    ("image",),
    ("colour",),
    ("codec",),
    ("metrics",),
    ("registry",),
    ("rate_search",),
    ("dataset",),
    ("analysis",),
    ("measurement",),
    ("output",),
    ("report", "figures", "throughput", "gate"),
    ("cli",),
    ("__main__",),
)
"""The floors of the house, low to high; a room imports from lower ones alone."""


def rooms() -> dict[str, list[Path]]:
    """Return each room with its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(BENCH.iterdir()):
        if path.suffix == ".py":
            found[path.stem] = [path]
        elif path.is_dir() and not path.is_symlink() and any(path.rglob("*.py")):
            found[path.name] = sorted(path.rglob("*.py"))
    return found


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, names out of packages included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = ["bench", *path.relative_to(BENCH).parts][: -node.level]
            base = ".".join([*package, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Return (room, room that it imports). The lazy names of ``bench/__init__.py`` do not count."""
    known = rooms()
    found = set()
    for room, paths in known.items():
        if room == "__init__":
            continue
        for name in set().union(*map(imported, paths)):
            first, *others = name.split(".")
            if first == "bench" and others and others[0] in known and others[0] != room:
                found.add((room, others[0]))
    return frozenset(found)


def floors() -> int:
    """Return the length of the longest chain of imports, in rooms."""
    below = {room: {b for a, b in arrows() if a == room} for room in rooms()}

    @cache
    def height(room: str) -> int:
        return 1 + max((height(other) for other in below[room]), default=0)

    return max(map(height, below))


def climbs() -> list[str]:
    """Return the arrows that do not lead down, in words."""
    floor = {room: number for number, level in enumerate(ORDER) for room in level}
    return sorted(f"{a} -> {b}" for a, b in arrows() if floor[a] <= floor[b])


def test_every_room_has_its_floor():
    """A new room is entered in ORDER, so that it cannot be forgotten below."""
    assert set(rooms()) - {"__init__"} == {room for level in ORDER for room in level}


def test_no_arrow_leads_back_up():
    """And so there is no circle either."""
    assert [] == climbs()


def test_the_house_is_small():
    """At most 20 rooms, 12 floors and 100 arrows."""
    assert len(rooms()) <= 20
    assert floors() <= 12
    assert len(arrows()) <= 100


def test_the_core_knows_no_plug_in():
    """No file of ``bench/`` imports AG-VAE: its commands and figures come by entry points."""
    ours = [path for paths in rooms().values() for path in paths]
    guilty = {
        str(path.relative_to(BENCH)): sorted(name for name in imported(path) if "agvae" in name)
        for path in ours
        if any("agvae" in name for name in imported(path))
    }
    by_name = [
        str(path.relative_to(BENCH))
        for path in ours
        if "codecs.agvae" in path.read_text(encoding="utf-8")
    ]

    assert {} == guilty
    assert [] == by_name


def test_codecs_import_no_command_line():
    """What encodes and decodes stands below the command line."""
    codecs = [path for path in (BENCH / "codecs").rglob("*.py") if path.parent.name != "commands"]

    assert [] == [path for path in codecs if any(n.startswith("bench.cli") for n in imported(path))]


@pytest.mark.parametrize("folder", ["bench", "codecs", "docs", "tests"])
def test_no_file_is_long(folder: str):
    """At most 400 lines, tests included: more wants to be cut by topic."""
    lines = {
        str(path.relative_to(BENCH.parent)): len(path.read_bytes().splitlines())
        for path in (BENCH.parent / folder).rglob("*.py")
    }

    assert lines
    assert {} == {name: count for name, count in lines.items() if count > 400}


if __name__ == "__main__":
    words = f"{len(rooms())} rooms, {floors()} floors, {len(arrows())} arrows"
    sys.stdout.write("\n".join([words, *climbs(), ""]))
