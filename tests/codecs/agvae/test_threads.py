"""Bands and images beside each other."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from bench.codecs.agvae import threads


@pytest.fixture
def two_threads():
    """Let PyTorch use two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_order_and_arguments(two_threads):
    """Results come in the order of the arguments."""
    assert threads.at_once(lambda a, b: a * b, range(9), [2] * 9) == list(range(0, 18, 2))


def test_two_calls_run_at_the_same_time(two_threads):
    """Two calls that wait for each other both return."""
    meeting = threading.Barrier(2, timeout=60)

    assert sorted(threads.at_once(lambda _: meeting.wait(), range(2))) == [0, 1]


def test_more_threads_than_usual(two_threads, monkeypatch):
    """Calls that ask for it run on as many threads as PyTorch has, and no more."""
    monkeypatch.setattr(threads, "_MOST", 1)
    meeting = threading.Barrier(2, timeout=60)

    assert sorted(threads.at_once(lambda _: meeting.wait(), range(2), most=9)) == [0, 1]
    names = threads.at_once(lambda _: threading.current_thread().name, range(20), most=9)
    assert len(set(names)) <= 2


def test_operators_inside_use_one_core(two_threads):
    """PyTorch has one thread in each call, and as many as before outside, also in new threads."""
    inside = threads.at_once(lambda _: torch.get_num_threads(), range(50))
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()

    assert set(inside) == {1}
    assert torch.get_num_threads() == 2
    assert found == [2]


def test_threads_are_kept(two_threads):
    """A second call makes no new threads."""
    threads.at_once(abs, range(2))
    before = threading.active_count()
    names = threads.at_once(lambda _: threading.current_thread().name, range(20))

    assert threading.active_count() == before
    assert len(set(names)) <= 2


def test_one_thread_stays_where_it_is():
    """With one thread, or one call, nothing leaves the caller's thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = threads.at_once(lambda _: threading.current_thread(), range(3))
    finally:
        torch.set_num_threads(before)

    assert set(found) == {threading.current_thread()}


def test_errors_come_out(two_threads):
    """What a call raises is raised here."""

    def fail(_):
        raise ValueError("of one band")

    with pytest.raises(ValueError, match="of one band"):
        threads.at_once(fail, range(2))


def test_inference_mode_goes_along(two_threads):
    """Calls see the caller's inference mode, which PyTorch keeps by thread."""
    with torch.inference_mode():
        inside = threads.at_once(lambda _: torch.is_inference_mode_enabled(), range(2))

    assert inside == [True, True]
    assert threads.at_once(lambda _: torch.is_inference_mode_enabled(), range(2)) == [False] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_makes_its_own(two_threads):
    """A forked process, which has none of the threads, does not wait for them."""
    threads.at_once(abs, range(2))
    child = os.fork()
    if not child:
        os._exit(threads.at_once(lambda x: x + 20, range(2)) != [20, 21])

    assert os.waitpid(child, 0)[1] == 0
