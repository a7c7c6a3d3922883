"""The kinds of figures: what a set's ``kind`` may say.

A kind is a function ``make(context, entry, options) -> Product`` whose last parameter is annotated
with the dataclass of the options that a set's file may give. Other packages offer theirs as entry
points ``bench.figures``; they are imported when a set asks for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from bench import registry
from bench.errors import UsageError, suggest
from bench.figures import crops, rate_distortion, speed, variants
from bench.figures.results import Context
from bench.figures.spec import Entry, FigureSet, options_of
from bench.output.figure import Product, Skipped

Make = Callable[[Context, Entry, Any], Product]

GROUP = "bench.figures"
OWN: dict[str, Make] = {
    "rd": rate_distortion.make,
    "crops": crops.make,
    "speed": speed.make,
    "variants": variants.make,
}


def names() -> list[str]:
    """Return the names of all kinds, sorted; nothing is imported."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def check(figure_set: FigureSet) -> None:
    """Check that every entry has a known kind and legal options.

    Raises
    ------
    UsageError
        If one has not. A kind that cannot be imported is checked, and skipped, when it is made.
    """
    known = names()
    for entry in figure_set.entries:
        if entry.kind not in known:
            reason = registry.outdated_metadata(GROUP)
            raise UsageError(
                f"figure {entry.id} has the unknown kind {entry.kind!r}"
                + (f"; {reason}" if reason else ""),
                registry.INSTALL_AGAIN if reason else suggest(entry.kind, known),
            )
        try:
            options = _kind(entry.kind)[1]
        except Skipped:
            continue
        options_of(options, entry)


def make(context: Context, entry: Entry) -> Product:
    """Return one figure of a set.

    Raises
    ------
    Skipped
        If something that it needs is not here.
    """
    make_it, options = _kind(entry.kind)
    return make_it(context, entry, options_of(options, entry))


def _kind(name: str) -> tuple[Make, type]:
    """Return the function and the options of a kind; skip one that cannot be imported or called."""
    try:
        found = OWN[name] if name in OWN else registry.load_plugin(GROUP, name)
    except UsageError as error:
        raise Skipped(f"kind {error.what}", error.next_step) from error
    try:
        last = list(inspect.signature(found).parameters)[2]
        return found, get_type_hints(found)[last]
    except (TypeError, ValueError, IndexError, KeyError, NameError) as error:
        raise Skipped(
            f"kind {name}: {found!r} is no function of context, entry and annotated options"
        ) from error
