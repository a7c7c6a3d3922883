"""Which of several calls in one message is blamed, and whose answers are whose."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from calls import PHASE, Watched, outcome, small

from bench.codec import Setting
from bench.dataset.manifest import File
from bench.dataset.open import Item
from bench.measurement import decoder, messages, serving, worker
from bench.measurement.child import Child
from bench.measurement.encoding import Encoding
from bench.measurement.pool import LocalPool


def test_time_of_a_call_is_all_of_its_parts(monkeypatch: pytest.MonkeyPatch):
    """All are encoded, then all decoded: what others take in between is not its time."""
    watched = Watched(monkeypatch, 3, "encode")
    calls = watched.calls
    for time_s, turn in enumerate([0] * 6 + [1] * 6 + [2] * 6):
        watched.look(time_s, turn)
    for time_s, turn in enumerate([0] * 3 + [1] * 3 + [2] * 6, 18):
        watched.look(time_s, turn, "decode")

    assert [False, False, True] == [call.future.done() for call in calls]
    assert "timed out: after 10 s in decode" == str(calls[2].future.exception(0))


def test_a_call_that_the_question_where_it_is_wakes_is_guilty_itself():
    """A hang in a system call ends at a signal: the process is at another call by then."""
    hang = PHASE + "import ctypes; ctypes.PyDLL(None).sleep(60)"
    with LocalPool(1, timeout_s=0.4) as pool:
        pool._seconds["small"] = 0.001
        calls = [small(int, 0), *(small(exec, code) for code in ("", hang, "", PHASE, ""))]
        found = [outcome(future) for future in [pool.submit(operator.call, c) for c in calls]]

    assert [0, None, "timed out: after 0.4 s in encode", None, None, None] == found


ANSWER = (
    "import pickle; from multiprocessing.connection import Connection; import sys; "
    "Connection(int(sys.argv[1])).send_bytes(pickle.dumps({}))"
)


@pytest.mark.parametrize("answer", ["('done', 7)", "('done', 'int', 'x', 0.0)", "7"])
def test_answers_after_garbage_are_nobodys(tmp_path: Path, answer: str):
    """Whatever a codec writes into its connection, its process answers no other call."""
    code = f"exec({ANSWER.format(answer)!r})"
    process = Child(str(tmp_path), leader=False)
    try:
        found = list(process.answers(eval, [("1",), (code,), ("3",)]))
        process.process.wait(1)
    finally:
        process.kill()

    assert ["failed"] == [word for _, word, *_ in found if word != "done"]
    assert 3 not in [value for _, _, value, _ in found]


def test_a_process_whose_answers_nobody_reads_answers_no_other_call(tmp_path: Path):
    """An answer that was not taken would be taken for that to the next call."""
    process = Child(str(tmp_path), leader=False)
    answers = process.answers(eval, [("1",), ("2",)])
    first = next(answers)
    answers.close()

    assert (0, "done", 1) == first[:3]
    assert process.process.poll() is not None


def test_a_turn_of_an_earlier_message_is_not_blamed(tmp_path: Path):
    """A process that dies between two messages dies of the first call of the second."""
    process = Child(str(tmp_path), leader=False)
    list(process.answers(eval, [("1",), ("2",), ("3",)]))
    process.process.kill()
    process.process.wait()
    found = list(process.answers(eval, [("1",), ("2",), ("3",)]))

    assert [(0, "failed")] == [(turn, word) for turn, word, *_ in found]


def test_a_task_alone_has_the_turn_of_its_message(tmp_path: Path, monkeypatch):
    """Where a message is worked on call by call, the process dies of the call it is at."""
    phase = messages.Phase()
    phase.turn = 4
    monkeypatch.setattr(serving, "_phase", [phase])
    item = Item("gone.png", tmp_path / "gone.png", File("gone.png"))
    row = Encoding("key", "pixels", 64, 48, "jpeg", "1", "jpeg (1)", "{}")
    worker.run(worker.Task(item, "jpeg", "cpu", Setting(quality=20), ("psnr",), False, row))
    found = phase.get()
    phase.close()

    assert 4 == found[2]


def test_loading_is_no_part_of_a_calls_time(monkeypatch: pytest.MonkeyPatch):
    """Where a decoder died another one is started, for which there is a minute more."""
    watched = Watched(monkeypatch, 2, "")
    call = watched.calls[0]
    for step, name in enumerate(["encode"] * 4 + [""] * 50 + ["decode"] * 6):
        watched.look(step, phase=name)
    before = call.future.done()
    watched.look(70.0)

    assert not before
    assert "timed out: after 10 s in decode" == str(call.future.exception(0))


def test_a_decoder_that_starts_does_not_decode_yet(monkeypatch: pytest.MonkeyPatch):
    """Its start and the loading of codecs are no part of the first file's decoding."""
    phase = messages.Phase()
    monkeypatch.setattr(serving, "_phase", [phase])
    found: list[tuple[str, int, int]] = []

    def answers(*_: object) -> Iterator[tuple[int, str, object, float]]:
        found.append(phase.get())
        yield 0, "done", None, 0.0

    def process() -> SimpleNamespace:
        found.append(phase.get())
        shelf = SimpleNamespace(clear=lambda: None)
        return SimpleNamespace(pid=7, answers=answers, shelf=shelf)

    monkeypatch.setattr(decoder, "process", process)
    monkeypatch.setattr(decoder, "prepare", lambda *_: found.append(phase.get()))
    list(decoder.decode_each([("jpeg", "cpu", b"")], [3]))
    phase.close()

    assert [("", 0, 3), ("", 0, 3), ("decode", 7, 3)] == found


def test_a_death_that_is_seen_later_is_not_blamed_on_another_call():
    """A process killed from elsewhere, or without its connection, is at another call by then."""
    close = "import os, sys; os.close(int(sys.argv[1]))"
    with LocalPool(1) as pool:
        pool._seconds["small"] = 0.001
        calls = [small(int, 0), *(small(exec, code) for code in (PHASE, close, *[PHASE] * 4))]
        found = [outcome(future) for future in [pool.submit(operator.call, c) for c in calls]]

    assert [0, None, *[None] * 4] == [*found[:2], *found[3:]]
    assert "died: the process closed its connection" == found[2]
