"""Several small cells in one message: what one of them does costs that one, as if it were alone."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from calls import PHASE, Watched, outcome, small

from bench import image, registry
from bench.codec import Setting
from bench.dataset.manifest import File
from bench.dataset.open import Item
from bench.errors import CodecFailed
from bench.measurement import decoder, executor, messages, pictures, serving, slot, worker
from bench.measurement.child import Child
from bench.measurement.encoding import Encoding
from bench.measurement.pool import LocalPool
from bench.measurement.store import Store


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each message to a process had."""
    found: list[int] = []
    send = slot.Slot.send

    def count(self: slot.Slot) -> None:
        found.append(len(self.calls))
        send(self)

    monkeypatch.setattr(slot.Slot, "send", count)
    return found


def test_a_call_that_kills_or_hangs_costs_itself(sizes: list[int]):
    """Of several in one message: those before and after it have their values."""
    with LocalPool(1, timeout_s=0.4) as pool:
        pool._seconds["small"] = 0.001
        calls = [small(int, n) for n in range(9)]
        calls[3] = small(os._exit, 3)
        calls[6] = small(exec, PHASE + "import time; time.sleep(60)")
        found = [outcome(future) for future in [pool.submit(operator.call, c) for c in calls]]
    ends = {3: "died: exit code 3", 6: "timed out: after 0.4 s in encode"}

    assert [ends.get(n, n) for n in range(9)] == found
    assert max(sizes) > 3


def test_only_calls_of_moments_share_a_message(sizes: list[int]):
    """One whose time is unknown, a long one and a stranger's go alone."""
    with LocalPool(1) as pool:
        pool._seconds |= {"small": 0.001, "long": 60.0}
        calls = [small(int, n, kind=kind) for n in range(2) for kind in ("long", "new")]
        strange = [small(int, n) for n in range(2)]
        for call in strange:
            call.group = "theirs"  # type: ignore[attr-defined]
        futures = [pool.submit(operator.call, call) for call in (*calls, *strange)]
        found = [outcome(future) for future in futures]

    assert [0, 0, 1, 1, 0, 1] == found
    assert {1} == set(sizes)


@pytest.mark.parametrize(
    ("turn", "answered", "guilty"), [(0, 0, 0), (2, 1, 2), (1, 2, 2), (99, 0, 3), (-5, 0, 0)]
)
def test_the_call_that_a_process_was_at_is_guilty(turn: int, answered: int, guilty: int):
    """Never one that was answered, and always one of the message, whatever the file says."""
    lost = slot.Slot("")
    lost.calls = [slot.Call(Future(), b"") for _ in range(4)]
    lost.answered, lost.sent = answered, True
    phase = SimpleNamespace(get=lambda: ("encode", 0, turn))
    lost.child = cast("Child", SimpleNamespace(phase=phase, kill=lambda: None))
    waiting = [call for n, call in enumerate(lost.calls) if n >= answered and n != guilty]
    calls = list(lost.calls)
    lost.lose("died: x")

    assert "died: x" == str(calls[guilty].future.exception(0))
    assert waiting == lost.left
    assert not any(call.future.done() for call in waiting)


def test_time_of_a_call_begins_with_it(monkeypatch: pytest.MonkeyPatch):
    """A process that goes on to its next call has all of the time for that, and no call two."""
    watched = Watched(monkeypatch, 3, "encode")
    calls = watched.calls
    for time_s, turn in ((0.0, 0), (9.0, 0), (11.0, 1), (20.0, 1)):
        watched.look(time_s, turn)
    before = [call.future.done() for call in calls]
    watched.look(21.5)

    assert [False] * 3 == before
    assert "timed out: after 10 s in encode" == str(calls[1].future.exception(0))
    assert [calls[0], calls[2]] == watched.slot.left


class _Parent:
    """Sends one message to this process and keeps the answers."""

    def __init__(self, *calls: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        self.messages = [messages.bundle([messages.pack(*call, {}) for call in calls])]
        self.answers: list[tuple[str, Any]] = []

    def recv_bytes(self) -> bytes:
        if not self.messages:
            raise EOFError
        return self.messages.pop()

    def send_bytes(self, data: bytes) -> None:
        for part in messages.unbundle(data):
            self.answers.append((messages.head_of(part)[0], messages.value_of(part)))


def _double(number: int) -> int:
    return 2 * number


def _doubles(numbers: list[int]) -> Iterator[tuple[int, float]]:
    for number in numbers:
        if number == 3:
            raise KeyError(number)
        yield 2 * number, 0.0


def test_calls_that_cannot_be_made_together_are_made_alone(monkeypatch: pytest.MonkeyPatch):
    """Whatever the function for several does, each call has its own answer, in order."""
    monkeypatch.setattr(serving, "_scheduling", [])
    monkeypatch.setitem(serving._TOGETHER, _double, _doubles)
    mixed = _Parent((_double, (1,)), (_double, (3,)), (_double, (5,)))
    serving._answer_calls(cast("Any", mixed))
    others = _Parent((int, ("1",)), (int, ("x",)), (int, ("5",)))
    serving._answer_calls(cast("Any", others))

    assert [("done", 2), ("done", 6), ("done", 10)] == mixed.answers[1:]
    assert ["done", "failed", "done"] == [word for word, _ in others.answers[1:]]
    assert (1, 5) == (others.answers[1][1], others.answers[3][1])


@pytest.fixture
def tasks(tmp_path: Path, photo: image.Image) -> Iterator[list[worker.Task]]:
    """JPEG at two qualities on three small pictures."""
    found = []
    for number in range(3):
        pixels = photo[:48, 16 * number : 64 + 16 * number]
        image.save(pixels, tmp_path / f"{number}.png")
        item = Item(f"{number}.png", tmp_path / f"{number}.png", File(f"{number}.png"))
        for quality in (20, 80):
            setting = Setting(
                quality=quality, subsampling="4:2:0", optimize=False, progressive=False
            )
            key, sha = f"{number}-{quality}", image.pixels_sha256(pixels)
            row = Encoding(key, sha, 64, 48, "jpeg", "1", "jpeg (1)", setting.json)
            found.append(worker.Task(item, "jpeg", "cpu", setting, ("psnr",), quality == 20, row))
    pictures.forget_all_but()
    yield found
    pictures.forget_all_but()


def numbers(row: Encoding) -> tuple[object, ...]:
    """Return what does not depend on time."""
    return row.key, row.data, row.error, row.scores, row.ceiling_db


def test_cells_together_are_as_alone(tasks: list[worker.Task]):
    """The same files, scores and ceilings; a picture that is gone costs its cells."""
    alone = [numbers(worker.run(task)) for task in tasks]
    pictures.forget_all_but()
    together = [numbers(row) for row, _ in worker.run_several(tasks)]
    tasks[2].item.path.unlink()
    pictures.forget_all_but()
    without = [row for row, _ in worker.run_several(tasks)]

    assert alone == together
    assert len({data for _, data, *_ in alone}) == 6
    assert [False, False, True, True, False, False] == [bool(row.error) for row in without]
    assert alone[:2] + alone[4:] == [numbers(row) for row in without if not row.error]


@pytest.mark.parametrize(("room", "sizes"), [(1, [1] * 6), (2.5, [2, 2, 2]), (4, [4, 2])])
def test_pictures_that_wait_for_scores_have_room(
    tasks: list[worker.Task], monkeypatch: pytest.MonkeyPatch, room: float, sizes: list[int]
):
    """Of a message with many pictures no more are decoded at a time; all have their own turn."""
    whole = [numbers(row) for row, _ in worker.run_several(tasks)]
    given: list[list[int]] = []
    decode = decoder.decode_each

    def note(files: Any, turns: Any, room: int) -> Any:
        given.append(turns)
        return decode(files, turns, room)

    monkeypatch.setattr(worker, "_DECODED_BYTES", room * 64 * 48 * 3)
    monkeypatch.setattr(decoder, "decode_each", note)
    found = [numbers(row) for row, _ in worker.run_several(tasks, 7)]

    assert whole == found
    assert sizes == [len(turns) for turns in given]
    assert list(range(7, 13)) == [turn for turns in given for turn in turns]


def test_a_spoiled_picture_is_nobody_elses(tasks: list[worker.Task], monkeypatch):
    """A codec that writes into its picture fails; cells beside it on that picture do not."""
    from bench.codecs.jpeg import Jpeg

    alone = [numbers(worker.run(task)) for task in tasks[:2]]
    encode = Jpeg.encode

    def spoil(self: Jpeg, given: image.Image, setting: Setting) -> bytes:
        data = encode(self, given, setting)
        if setting["quality"] == 80:
            import ctypes

            ctypes.memset(given.ctypes.data, 0, 300)
        return data

    monkeypatch.setattr(Jpeg, "encode", spoil)
    pictures.forget_all_but()
    row, spoiled, again = [row for row, _ in worker.run_several([*tasks[:2], tasks[0]])]

    assert alone[0] == numbers(row) == numbers(again)
    assert "wrote into the picture" in spoiled.error
    assert not spoiled.scores


def test_a_process_that_dies_says_of_which_call(tmp_path: Path):
    """Also where it had not sent the answers to the calls before; those are left."""
    calls = [("1 + 1",), ("__import__('os')._exit(5)",), ("3",)]
    process = Child(str(tmp_path), leader=False)
    try:
        died = [(n, word, str(value)) for n, word, value, _ in process.answers(eval, calls)]
    finally:
        process.kill()

    assert [(1, "failed", "died: exit code 5 in eval")] == died


def test_a_reshaped_picture_is_nobody_elses(tasks: list[worker.Task], monkeypatch):
    """A codec that gives its array another shape changes no ceiling, and no other cell."""
    from bench.codecs.jpeg import Jpeg

    alone = [numbers(worker.run(task)) for task in tasks[:2]]
    encode = Jpeg.encode

    def reshape(self: Jpeg, given: image.Image, setting: Setting) -> bytes:
        data = encode(self, given, setting)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            given.shape = (1, -1, 3)
        return data

    monkeypatch.setattr(Jpeg, "encode", reshape)
    pictures.forget_all_but()

    assert alone == [numbers(row) for row, _ in worker.run_several(tasks[:2])]


class _Decoder:
    """Dies of some files, once it has answered the first ones of its message."""

    pid = 1

    def __init__(self, answered: int) -> None:
        self.answered, self.given = answered, []
        self.shelf = messages.Shelf()

    def answers(self, _function: object, files: list[tuple[Any, ...]], _at: object):
        self.given = [data for _, _, data, *_ in files]
        for index, data in enumerate(self.given):
            if data == b"die":
                yield index, "failed", CodecFailed("died: x"), 0.0
                return
            if index < self.answered:
                yield index, "done", data, 0.0


def test_a_file_that_kills_the_decoder_costs_itself(monkeypatch: pytest.MonkeyPatch):
    """The others are decoded by the next process, and each has the picture of its own file."""
    processes = [_Decoder(1), _Decoder(0), _Decoder(9)]
    left = iter(processes)
    monkeypatch.setattr(decoder, "process", lambda: next(left))
    monkeypatch.setattr(decoder, "prepare", lambda *_: None)
    files = [("jpeg", "cpu", data) for data in (b"a", b"b", b"die", b"d", b"die", b"f")]
    found = list(decoder.decode_each(files, range(6)))

    assert [0, 2, 4, 1, 3, 5] == [index for index, *_ in found]
    assert [b"a", b"b", b"d", b"f"] == [v for _, v, _ in sorted(found) if isinstance(v, bytes)]
    assert ["died: x"] * 2 == [str(found[n][1]) for n in (1, 2)]
    assert [b"b", b"d", b"f"] == processes[2].given


def test_a_large_picture_crosses_in_memory(tmp_path: Path, photo: image.Image):
    """Each at its place; one larger than expected goes with the answer. All are as decoded here."""
    jpeg = registry.create("jpeg")
    setting = Setting(quality=50, subsampling="4:2:0", optimize=False, progressive=False)
    pictures = [np.ascontiguousarray(photo[top : top + 160, :200]) for top in (0, 8, 16)]
    files = [jpeg.encode(picture, setting) for picture in pictures]
    room = pictures[0].nbytes
    places = ((0, room), (room, room), (2 * room, room - 1))
    calls = [("jpeg", "cpu", data, *place) for data, place in zip(files, places, strict=True)]
    process = Child(str(tmp_path), leader=False)
    try:
        values = [value for *_, value, _ in process.answers(decoder.decode, calls)]
        found = [decoder._taken(value, process.shelf) for value in values]
    finally:
        process.kill()

    assert [True, True, False] == [isinstance(value, decoder.Placed) for value in values]
    for data, picture in zip(files, found, strict=True):
        assert np.array_equal(jpeg.decode(data), picture)
    with pytest.raises(ValueError, match="WRITEABLE"):
        found[0].flags.writeable = True


def test_pictures_of_a_message_stay_until_all_are_scored(
    tasks: list[worker.Task], monkeypatch: pytest.MonkeyPatch
):
    """Memory is given back behind the last score, not behind the last picture; of one cell too."""
    order: list[str] = []
    scored = worker._score_all
    monkeypatch.setattr(worker, "_score_all", lambda cell: (order.append("score"), scored(cell)))
    monkeypatch.setattr(decoder, "clear", lambda: order.append("clear"))
    rows = list(worker.run_several(tasks))

    worker.run(tasks[0])

    assert [*["score"] * len(rows), "clear", "score", "clear"] == order


def test_rows_of_one_message_are_stored_together_or_not_at_all(tmp_path: Path):
    """A failure among them leaves nothing half; what was stored before stays."""
    rows = [Encoding(str(n), "p", 1, 1, "jpeg", "1", "l", "{}", data=b"x") for n in range(4)]

    def fail() -> None:
        with store.together():
            store.put(rows[1])
            store.put(rows[2])
            raise ZeroDivisionError

    with Store(tmp_path) as store:
        store.put(rows[0])
        with pytest.raises(ZeroDivisionError):
            fail()
        with store.together():
            store.put(rows[3])
        found = store.encoded()

    assert {"0": "", "3": ""} == found


def test_few_files_are_sent_before_they_are_needed():
    """Of tasks that carry their bytes no more are held than the workers need; of others many."""
    assert executor._room(3, 0, 1)
    assert not executor._room(3, 18 << 20, 1)
    assert executor._room(3, 18 << 20, 2)
    assert not executor._room(256, 0, 1)


def test_pictures_of_earlier_cells_are_forgotten(tasks: list[worker.Task]):
    """A worker keeps the pictures of its last message alone."""
    list(worker.run_several(tasks))
    kept = set(pictures._images)
    worker.run(tasks[0])

    assert {task.row.pixels for task in tasks} == kept
    assert {tasks[0].row.pixels} == set(pictures._images)
    assert np.array_equal(
        pictures._images[tasks[0].row.pixels].kept, image.load(tasks[0].item.path)
    )
