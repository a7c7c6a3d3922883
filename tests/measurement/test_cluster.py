"""A cluster's executor: small cells travel together, each has its own result or error."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forkserver import Here

from bench.errors import CodecFailed
from bench.measurement import cluster, messages
from bench.measurement.pool import PoolError
from bench.measurement.results import load_results
from bench.measurement.run import run
from bench.measurement.slot import Call

Jobs = list[tuple[Callable[..., Any], tuple[Any, ...]]]


class _Dask:
    """A client and its executor: keeps messages until they are asked for."""

    def __init__(self) -> None:
        self.messages: list[tuple[Future[Any], Jobs]] = []
        self.counted, self.closed = 0, False

    def get_executor(self, **_: object) -> _Dask:
        return self

    def nthreads(self) -> dict[str, int]:
        if self.closed:
            raise OSError
        self.counted += 1
        return {"a": 1, "b": 1}

    def submit(self, _function: object, _timeout_s: float, message: bytes) -> Future[Any]:
        if self.closed:
            raise RuntimeError("closed")
        calls = [pickle.loads(payload) for payload, *_ in pickle.loads(message)]
        self.messages.append((Future(), [(function, args) for function, args, _ in calls]))
        return self.messages[-1][0]

    def shutdown(self, **_: object) -> None:
        self.messages.clear()

    def close(self) -> None:
        """Nothing."""

    def answer(self, seconds: float = 0.001) -> list[int]:
        """Answer the first message; return what its calls were given."""
        future, jobs = self.messages.pop(0)
        given = [args[0].number for _, args in jobs]
        if any(function is dies for function, _ in jobs):
            future.set_exception(RuntimeError("KilledWorker"))
        else:
            future.set_result(pickle.dumps([answer(*job, seconds) for job in jobs]))
        return given


def answer(function: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> bytes:
    """Answer as a child process does."""
    try:
        return messages.answer("done", function(*args), seconds)
    except CodecFailed as error:
        return messages.answer("failed", error, seconds)


def wish(number: int, kind: str | None = "small", group: str = "") -> SimpleNamespace:
    return SimpleNamespace(number=number, kind=kind, group=group)


def double(given: SimpleNamespace) -> int:
    return 2 * given.number


def fails(given: SimpleNamespace) -> int:
    raise CodecFailed(f"crashed: {given.number}")


def dies(given: SimpleNamespace) -> int:
    raise AssertionError(given)


def ends(futures: list[Future[Any]]) -> list[object]:
    """Return values and errors."""
    return [str(f.exception(0)) if f.exception(0) else f.result(0) for f in futures]


@pytest.fixture
def dask() -> _Dask:
    return _Dask()


@pytest.fixture
def executor(dask: _Dask) -> cluster.Cluster:
    """Knows that small calls take moments and slow ones do not."""
    found = cluster.Cluster(dask, 1.0)
    found._seconds |= {"small": 0.01, "slow": 9.0}
    return found


def test_small_calls_travel_together(dask: _Dask, executor: cluster.Cluster):
    """Each thread has two messages; further calls wait and share the next ones."""
    futures = [executor.submit(double, wish(n)) for n in range(20)]
    executor.flush()
    sizes = [len(jobs) for _, jobs in dask.messages]
    while dask.messages:
        dask.answer()
        executor.flush()

    assert len(sizes) == 4
    assert sum(sizes) == 20
    assert [2 * n for n in range(20)] == ends(futures)
    assert dask.counted == 1


def test_slow_unknown_and_strange_calls_travel_alone(dask: _Dask, executor: cluster.Cluster):
    """As before there were messages of several; and with others that wait."""
    kinds = ["slow", "new", None, "small"]
    wishes = [wish(n, kinds[n % 4], "theirs" * (n % 4 == 3)) for n in range(12)]
    futures = [executor.submit(double, one) for one in wishes]
    sizes = []
    while dask.messages:
        sizes.append(len(dask.messages[0][1]))
        dask.answer(seconds=9.0)
        executor.flush()

    assert [2 * n for n in range(12)] == ends(futures)
    assert {1} == set(sizes)


def test_a_call_that_kills_workers_is_found(dask: _Dask, executor: cluster.Cluster):
    """Where a message has no answer its calls are sent one by one; only the guilty one fails."""
    functions = [double, double, dies, fails, double, double, double, double]
    futures = [executor.submit(function, wish(n)) for n, function in enumerate(functions)]
    while dask.messages:
        dask.answer()
        executor.flush()

    assert [0, 2, "KilledWorker", "crashed: 3", 8, 10, 12, 14] == ends(futures)


def test_calls_that_wait_are_sent_without_being_asked_for(dask: _Dask, executor: cluster.Cluster):
    """Nobody who only submits waits for ever."""
    futures = [executor.submit(double, wish(n)) for n in range(9)]
    while dask.messages:
        dask.answer()

    assert [2 * n for n in range(9)] == ends(futures)


def test_nothing_is_sent_after_the_end(dask: _Dask, executor: cluster.Cluster):
    """Calls that wait are forgotten; what was sent runs, and cannot be cancelled any more."""
    futures = [executor.submit(double, wish(n)) for n in range(9)]
    assert [False, True] == [futures[0].cancel(), futures[8].cancel()]
    dask.answer()
    sent = list(dask.messages)
    executor.shutdown(cancel_futures=True)
    for future, _ in sent:
        future.cancel()

    assert not dask.messages
    assert not futures[0].cancelled()
    assert 0 == futures[0].result(0)


def test_a_call_that_is_cancelled_while_it_waits_is_not_sent(
    dask: _Dask, executor: cluster.Cluster
):
    """The others of its message are."""
    futures = [executor.submit(double, wish(n)) for n in range(9)]
    futures[4].cancel()
    executor.flush()
    given = [n for _ in range(len(dask.messages)) for n in dask.answer()]

    assert [0, 1, 2, 3, 5, 6, 7, 8] == given


def test_no_call_is_to_blame_for_a_lost_scheduler(dask: _Dask, executor: cluster.Cluster):
    """Every call of every message ends with the same error, also those that were not yet sent."""
    futures = [executor.submit(double, wish(n)) for n in range(20)]
    executor.flush()
    dask.closed = True
    while dask.messages:
        dask.messages.pop()[0].cancel()
    futures += [executor.submit(double, wish(n)) for n in range(20)]
    executor.flush()

    assert {PoolError} == {type(future.exception(0)) for future in futures}


def test_a_scheduler_that_does_not_answer_is_lost(dask: _Dask, executor: cluster.Cluster):
    """Also where it is only asked for its workers."""
    dask.closed = True
    with pytest.raises(PoolError, match="connection to the Dask scheduler is lost"):
        _ = executor.workers


def test_a_lost_cluster_ends_a_run_without_failures(small: Path, tmp_path: Path):
    """What was measured is stored, what was not is measured by the next run; no codec failed."""

    class Lost(Here):
        waiting: tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None = None

        def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if self.waiting is None:
                self.waiting = future, fn, args
            else:
                future.set_exception(PoolError("gone"))
                first, function, given = self.waiting
                first.set_result(function(*given))
            return future

    words = [f"folder:{small}"], ["jpeg"], ["psnr"]
    options = {"points": 4, "jobs": 2, "out": tmp_path / "out"}
    with pytest.raises(PoolError, match="gone"):
        run(*words, **options, make_executor=Lost)
    kept = load_results(tmp_path / "out", unfinished=True).rows
    rows = run(*words, **options, make_executor=Here).rows

    assert [1, 12] == [found["bytes"].notna().sum() for found in (kept, rows)]
    assert not rows["error"].any()
    assert not kept["error"].any()


def test_ctrl_c_that_ends_the_cluster_too_leaves_no_failures(small: Path, tmp_path: Path):
    """A terminal sends it to both: cells that were being measured are the next run's."""

    class Interrupted(Here):
        begun: Future[Any] | None = None

        def submit(self, _fn: Callable[..., Any], /, *_: Any, **__: Any) -> Future[Any]:
            if self.begun is not None:
                self.begun.set_exception(PoolError("gone"))
                raise KeyboardInterrupt
            self.begun = Future()
            self.begun.set_running_or_notify_cancel()
            return self.begun

    words = [f"folder:{small}"], ["jpeg"], ["psnr"]
    options = {"points": 4, "jobs": 2, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        run(*words, **options, make_executor=Interrupted)
    rows = run(*words, **options, make_executor=Here).rows

    assert 12 == rows["bytes"].notna().sum()
    assert not rows["error"].any()


@pytest.mark.parametrize("garbage", [b"", b"done\0\0" + bytes(8), b"spoilt" + bytes(40)])
def test_an_answer_that_cannot_be_read_is_the_error_of_its_call(
    dask: _Dask, executor: cluster.Cluster, garbage: bytes
):
    """What a worker handed on without a look is refused here; nobody waits for it for ever."""
    futures = [executor.submit(double, wish(n)) for n in range(2)]
    executor.flush()
    for sent, _ in dask.messages:
        sent.set_result(pickle.dumps([garbage]))

    assert ["died: its answer cannot be read"] * 2 == ends(futures)


def test_a_thread_of_a_worker_makes_them_in_its_own_child(monkeypatch: pytest.MonkeyPatch):
    """All of a message are given to the pool at once; answers are handed on as they come."""

    class Pool:
        def __init__(self, *_: object) -> None:
            self.timeout_s = 0.0

        def put(self, calls: list[Call]) -> None:
            self.given = calls
            for call, result in zip(calls, (b"one", b"two", None), strict=True):
                if result:
                    call.future.set_result(result)
                else:
                    call.future.set_exception(CodecFailed("timed out"))

    monkeypatch.setattr(cluster, "LocalPool", Pool)
    monkeypatch.setattr(cluster, "_of_thread", threading.local())
    jobs = [(b"call", "theirs", "picture", "kind")] * 3
    *answers, lost = pickle.loads(cluster._in_child(7.0, pickle.dumps(jobs)))
    pool = cluster._of_thread.pool

    assert [b"one", b"two"] == answers
    assert "timed out" == str(lost)
    assert 7.0 == pool.timeout_s
    assert jobs == [(c.payload, c.group, c.near, c.kind) for c in pool.given]


def test_a_value_crosses_a_worker_as_it_is(monkeypatch: pytest.MonkeyPatch):
    """A real child process, whose answer, good or bad, is read by the client alone."""
    monkeypatch.setattr(cluster, "_of_thread", threading.local())
    calls = [Call.of(int, ("7",)), Call.of(int, ("seven",))]
    jobs = [(call.payload, call.group, call.near, call.kind) for call in calls]
    answers = pickle.loads(cluster._in_child(60.0, pickle.dumps(jobs)))
    cluster._of_thread.pool.shutdown()

    assert ["done", "failed"] == [messages.head_of(one)[0] for one in answers]
    assert 7 == messages.value_of(answers[0])
    assert "invalid literal" in str(messages.value_of(answers[1]))
