"""What starts before it is needed: a worker, and its decoder's import of PyTorch."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench import cli
from bench.measurement import decoder, head_start, provenance
from bench.measurement.head_start import HeadStart

SEEN = """[
    (sys := __import__('sys')) and (os := __import__('os')).getpid(),
    {'bench.measurement.worker', 'cv2'} <= {*sys.modules},
    os.environ.get('OMP_NUM_THREADS'),
    os.environ.get('BENCH_EXTRA'),
    os.getcwd(),
    len(__import__('psutil').Process().children()),
]"""
"""What a worker says of itself."""


def _ahead(monkeypatch: pytest.MonkeyPatch) -> tuple[HeadStart, psutil.Process]:
    """Return a worker ahead of the plan and its process, beside those of other tests.

    Pytest puts the phase of a test into a variable.
    """
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    before = psutil.Process().children()
    ahead = HeadStart(2)
    [first] = [child for child in psutil.Process().children() if child not in before]
    return ahead, first


def test_the_pool_begins_with_the_process_that_is_there(monkeypatch: pytest.MonkeyPatch):
    """It has imported what cells need, has one thread a library, and its decoder runs."""
    ahead, first = _ahead(monkeypatch)
    with ahead.make_executor(2) as pool:
        pid, *others = pool.submit(eval, SEEN).result()

    assert first.pid == pid
    assert [True, "1", None, str(Path.cwd()), 1] == others
    assert not first.is_running()


def test_what_changed_since_is_known_to_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A codec's file, a folder to import from: a process of before would not find them."""
    ahead, first = _ahead(monkeypatch)
    monkeypatch.setenv("BENCH_EXTRA", "mine.py")
    with ahead.make_executor(1) as pool:
        assert not first.is_running()
        assert "mine.py" == pool.submit(eval, SEEN).result()[3]
    other, _ = _ahead(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with other.make_executor(1) as pool:
        assert os.fspath(tmp_path) == pool.submit(eval, SEEN).result()[4]


def test_a_worker_that_nobody_needs_ends(monkeypatch: pytest.MonkeyPatch):
    """With all that it started; ending it again does nothing."""
    ahead, first = _ahead(monkeypatch)
    ahead.stop()
    ahead.stop()

    assert not first.is_running()


@pytest.mark.parametrize(
    ("there", "more", "starts"),
    [
        (False, (), 1),
        (True, (), 0),
        (False, ("--scheduler", "tcp://127.0.0.1:9"), 0),
    ],
)
def test_when_a_worker_starts_before_the_plan(there, more, starts, monkeypatch, tmp_path: Path):
    """For a new folder and local processes; it ends also where the command line is refused."""
    found: list[str] = []
    monkeypatch.setattr(head_start.HeadStart, "__init__", lambda *_: found.append("starts"))
    monkeypatch.setattr(head_start.HeadStart, "stop", lambda _: found.append("ends"))
    if there:
        (tmp_path / "bench.sqlite").touch()
    words = ["bench", "all", "-c", "nosuch", "--out", str(tmp_path), *more]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        cli.main()

    assert ["starts", "ends"] * starts == found


def test_a_worker_that_cannot_start_costs_nothing_else(monkeypatch, tmp_path: Path, capsys):
    """The command line is refused for its own reason; a folder that was removed is no other."""

    def no_memory(*_: object) -> None:
        raise OSError("cannot allocate memory")

    monkeypatch.setattr(head_start.HeadStart, "__init__", no_memory)
    words = ["bench", "all", "-c", "nosuch", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit):
        cli.main()

    assert "unknown codec" in capsys.readouterr().err
    assert head_start._surroundings() == head_start._surroundings()


@pytest.mark.parametrize(
    ("learned", "modules", "wanted"),
    [(True, {}, ["torch"]), (True, {"torch": 1}, []), (False, {}, [])],
)
def test_a_decoder_imports_torch_while_a_network_encodes(learned, modules, wanted, monkeypatch):
    """Not for a classical codec; an import that fails is left to who needs it."""
    found: list[str] = []
    ended = threading.Event()
    freeze = gc.freeze

    def import_module(name: str) -> None:
        found.append(name)
        raise ImportError(name)

    monkeypatch.setattr(decoder, "codec", lambda *_: SimpleNamespace(learned=learned))
    monkeypatch.setattr(decoder, "sys", SimpleNamespace(modules=modules))
    monkeypatch.setattr(decoder, "importlib", SimpleNamespace(import_module=import_module))
    monkeypatch.setattr(gc, "freeze", lambda: (freeze(), ended.set()))
    decoder.load("any", "cpu")

    assert ended.wait(5) if wanted else not found
    assert wanted == found


def test_what_was_asked_ahead_is_in_the_record(monkeypatch: pytest.MonkeyPatch):
    """Git and the GPU's driver are asked once; what fails ahead is asked again."""
    answers, asked = ["", "abc"], threading.Event()

    def ask() -> str:
        if not answers.pop(0):
            asked.set()
            raise OSError("no driver")
        return "abc"

    monkeypatch.setattr(provenance, "git_commit", lambda: "123")
    monkeypatch.setattr(provenance, "gpu_name", ask)
    provenance.ask_ahead()

    assert asked.wait(5)
    found = provenance.record()
    assert ("123", "abc") == (found["commit"], found["gpu"])
