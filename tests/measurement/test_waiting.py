"""Calls that wait: which one is next, and that none is lost or comes twice."""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest

from bench.measurement.slot import Call
from bench.measurement.waiting import Waiting, place_of


def call(near: str, group: str = "") -> Call:
    return Call(Future(), b"", group, near)


def all_of(waiting: Waiting, *taken: str) -> list[Call]:
    """Return the calls as one process would get them."""
    found: list[Call] = []
    own = "", ""
    while waiting:
        found.append(waiting.next(own, taken))
        waiting.remove(found[-1])
        own = place_of(found[-1])
    return found


def test_a_picture_is_given_out_whole():
    """Whatever waits between its calls; pictures in the order of their first calls."""
    waiting = Waiting()
    waiting.add(call(near) for near in "abcabcaab")

    assert "aaaabbbcc" == "".join(one.near for one in all_of(waiting))


def test_pictures_of_others_come_last():
    """Where nothing else waits they are shared."""
    waiting = Waiting()
    waiting.add(call(near) for near in "aabbc")

    assert "bbcaa" == "".join(one.near for one in all_of(waiting, "a"))


def test_another_codec_of_the_picture_waits_for_its_group():
    """A stranger's code costs a new process: its calls of all pictures come first."""
    waiting = Waiting()
    waiting.add(call(near, group) for group in ("", "x") for near in "abab")

    assert "aabbaxaxbxbx" == "".join(one.near + one.group for one in all_of(waiting))


def test_what_is_asked_again_comes_first():
    """In its own order, before all that waits."""
    waiting, again = Waiting(), [call("b"), call("z"), call("z")]
    waiting.add([call("a"), call("b")])
    waiting.add_again(again)
    found = all_of(waiting)

    assert again[0] is found[0]
    assert again[1:] == found[2:4]
    assert "bbzza" == "".join(one.near for one in found)


def test_nothing_waits():
    """Then nothing is next."""
    waiting = Waiting()
    waiting.add([call("a")])
    waiting.clear()

    assert not waiting
    assert [] == list(waiting)
    with pytest.raises(StopIteration):
        waiting.next(("", ""))


def test_no_call_is_lost_or_comes_twice():
    """After any order of adding, adding again and taking."""
    chance, waiting = random.Random(1), Waiting()
    inside: set[Call] = set()
    taken: list[Call] = []
    own = "", ""
    for _ in range(2000):
        step = chance.random()
        if step < 0.4:
            given = [call(chance.choice("abcde"), chance.choice(("", "x"))) for _ in range(3)]
            waiting.add(given)
            inside.update(given)
        elif step < 0.5 and taken:
            again = [taken.pop() for _ in range(min(2, len(taken)))]
            waiting.add_again(again)
            inside.update(again)
        elif waiting:
            found = waiting.next(own, chance.sample("abcde", 2))
            waiting.remove(found)
            inside.remove(found)
            taken.append(found)
            own = place_of(found)
        assert len(inside) == len(waiting)

    assert inside == set(waiting)
