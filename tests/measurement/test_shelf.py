"""Decoded pictures in memory that two processes share: none is lost, none is another's."""

from __future__ import annotations

import os
import sys
import tempfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.errors import CodecFailed
from bench.measurement import decoder, messages, serving


@pytest.mark.parametrize("shape", [(-1, -4, 3), (2**62, 4, 3), (9, 9, 3), "abc", (1.5, 2, 3)])
def test_what_lies_about_a_picture_is_no_picture(shape: Any):
    """A shape that the file does not fill is an error of its cell, not a crash of the worker."""
    shelf = messages.Shelf()
    shelf.put(0, memoryview(bytes(24)))
    found = decoder._taken(decoder.Placed(0, shape), shelf)
    shelf.close()

    assert isinstance(found, CodecFailed)


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory of Linux")
def test_a_shelf_is_never_cut_and_gives_back_memory():
    """A reader of what is cut off would die of it. What was read stays until it is cleared."""
    shelf = messages.Shelf()
    other = messages.Shelf(shelf.fileno)
    other.put(0, memoryview(b"a" * 9000))
    other.put(100, memoryview(b"b" * 9000))
    first = shelf.get(0, 9100)
    begun = first[:9100]
    other.put(8000, memoryview(b"c" * 20000))
    with pytest.raises(PermissionError):
        os.ftruncate(shelf.fileno, 8000)

    assert b"a" * 100 + b"b" * 9000 == begun
    assert b"a" * 100 + b"b" * 7900 + b"c" * 1100 == first[:9100]
    assert b"c" * 100 == shelf.get(27900, 100)[27900:]
    with pytest.raises(ValueError, match="no 101 bytes at 27900"):
        shelf.get(27900, 101)
    shelf._KEPT_BYTES = 1  # type: ignore[misc]
    held = os.fstat(shelf.fileno).st_blocks
    shelf.clear()
    assert held > os.fstat(shelf.fileno).st_blocks == 0
    other.put(0, memoryview(b"d" * 9000))
    assert b"d" * 9000 == shelf.get(0, 9000)[:9000]
    with pytest.raises(TypeError):
        shelf.get(0, 9000)[0] = 1
    shelf.close()
    assert b"d" * 9000 == first[:9000]


def test_another_file_of_its_number_is_no_shelf(monkeypatch: pytest.MonkeyPatch):
    """Else the reader would score the picture that lay there before; the codec's file stays."""
    shelf = messages.Shelf()
    there = messages.Shelf(os.dup(shelf.fileno))
    there.put(0, memoryview(bytes(1 << 17)))
    with tempfile.TemporaryFile() as own:
        own.truncate(1 << 20)
        os.dup2(own.fileno(), there.fileno)
        picture = np.ones((200, 200, 3), np.uint8)
        monkeypatch.setattr(serving, "_shelf", [there])
        monkeypatch.setattr(decoder, "_decode", lambda *_: picture)
        found = decoder.decode("jpeg", "cpu", b"", 0, picture.nbytes)

        assert picture is found
        assert not any(os.pread(own.fileno(), 1 << 20, 0))
        with pytest.raises(OSError, match="another file"):
            there.get(0, 100)
    os.close(there.fileno)
    shelf.close()


def test_a_decoder_that_died_gives_back_its_pictures(monkeypatch: pytest.MonkeyPatch):
    """Its files are closed before another takes its place, whatever it died of, and when."""
    order: list[str] = []
    dead = SimpleNamespace(
        process=SimpleNamespace(poll=lambda: -9), kill=lambda: order.append("closed")
    )
    monkeypatch.setattr(decoder, "_processes", [dead])
    monkeypatch.setattr(serving, "_pid", [os.getpid()])
    monkeypatch.setattr(serving, "_place", [""])
    monkeypatch.setattr(decoder, "Child", lambda *_, **__: order.append("made"))
    decoder.process()

    assert ["closed", "made"] == order


def test_what_a_process_is_at_is_not_written_into_a_codecs_file():
    """A file of the codec's that has the number of ours stays as the codec wrote it."""
    ours = messages.Phase()
    there = messages.Phase(os.dup(ours.fileno))
    there.set("encode")
    with tempfile.TemporaryFile() as own:
        os.dup2(own.fileno(), there.fileno)
        there.set("decode")

        assert 0 == os.fstat(own.fileno()).st_size
        assert "encode" == ours.get()[0]
    os.close(there.fileno)
    ours.close()
