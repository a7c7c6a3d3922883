"""Calls that wait for a process, by the picture that they are about."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator

from bench.measurement.slot import Call

Place = tuple[str, str]
"""The picture of a call, and whose code it runs: its ``near`` and ``group``."""


def place_of(call: Call) -> Place:
    """Return which picture a call is about, and whose code it runs."""
    return call.near, call.group


class Waiting:
    """Calls in order of arrival, of which those about a picture are found without a search.

    A process keeps its picture, and what metrics prepare of it, from one call to the next. So
    pictures are given out whole: two processes share one only where there is nothing else to do.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[Place, deque[Call]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Return how many calls wait."""
        return self._count

    def __iter__(self) -> Iterator[Call]:
        """Yield the calls, picture by picture."""
        for calls in self._places.values():
            yield from calls

    def add(self, calls: Iterable[Call]) -> None:
        """Let calls wait behind those that are there."""
        for call in calls:
            self._places.setdefault(place_of(call), deque()).append(call)
            self._count += 1

    def add_again(self, calls: list[Call]) -> None:
        """Let calls wait before those that are there."""
        for call in reversed(calls):
            self._places.setdefault(place_of(call), deque()).appendleft(call)
            self._places.move_to_end(place_of(call), last=False)
            self._count += 1

    def next(self, own: Place, taken: Collection[str] = ()) -> Call:
        """Return the next call for a process; it still waits.

        Parameters
        ----------
        own
            What the process has been working on.
        taken
            Pictures that others work on.

        Raises
        ------
        StopIteration
            If nothing waits.
        """
        if own not in self._places:
            free = (place for place in self._places if place[0] not in taken)
            own = next(free, None) or next(iter(self._places))
        return self._places[own][0]

    def remove(self, call: Call) -> None:
        """Let a call that ``next`` returned wait no longer."""
        place = place_of(call)
        self._places[place].popleft()
        self._count -= 1
        if not self._places[place]:
            del self._places[place]

    def clear(self) -> None:
        """Let nothing wait."""
        self._places.clear()
        self._count = 0
