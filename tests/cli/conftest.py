"""The command line in this process: no interpreter is started for a word or two of output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from experiments import FILE, MINE, as_another_process
from forkserver import Here

from bench import cli, image
from bench.measurement import executor, head_start
from bench.measurement import pictures as kept_pictures
from bench.output import write as writing


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


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``bench all`` measure in this process, and draw nothing."""
    kept_pictures.forget_all_but()
    write = writing.write
    monkeypatch.setattr(writing, "write", lambda *a, **k: write(*a, **{**k, "plots": False}))
    for module in (executor, head_start):
        monkeypatch.setattr(module, "LocalPool", Here)


@pytest.fixture
def pictures(tmp_path: Path, photo: image.Image) -> str:
    """The name of a dataset of two photographs, 48x40."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        crop = photo[80 * number : 80 * number + 40, 90 * number : 90 * number + 48]
        image.save(crop, folder / f"{number}.png")
    return f"folder:{folder}"


@pytest.fixture
def site(tmp_path: Path, pictures: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder: two pictures, an experiment and the codec of a file."""
    (tmp_path / "paper.toml").write_text(FILE)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    for name in ("BENCH_CODEC_FILES", "BENCH_METRIC_FILES"):
        monkeypatch.setenv(name, "{}")
    as_another_process()
    yield tmp_path
    as_another_process()


@pytest.fixture
def measure(bench, inline, site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that runs ``bench all`` with some words, and writes no tables."""
    monkeypatch.setattr(writing, "write", lambda *_, **__: [])
    return lambda *words: bench("all", *words, "--quiet")
