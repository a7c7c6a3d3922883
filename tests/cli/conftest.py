"""The command line in this process: no interpreter is started for a word or two of output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bench import cli


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str

    @property
    def line(self) -> str:
        """The one line of a refusal, after checking that it is one."""
        lines = self.stderr.strip().splitlines()
        assert (2, 1, "") == (self.code, len(lines), self.stdout), self
        assert lines[0].startswith("bench: ")
        return lines[0]


Bench = Callable[..., Done]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Return a function that runs ``bench`` with some words, as ``main`` would."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else int(code is not None), *printed)

    return run
