"""What tests share: real images, found where they are and skipped with a reason where not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import forkserver
import numpy as np
import plugins
import pytest
from hypothesis import HealthCheck, settings

from bench import image, registry
from bench.codecs import _compressai
from bench.errors import Unavailable
from bench.image import Image

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("bench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bench")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


os.environ["BENCH_OFFLINE"] = "1"  # no test needs the web; those that serve themselves unset it

# When this file is imported, because some tests sort out what is available while collected.
for _name, _below in (("BENCH_DATA", "datasets"), ("BENCH_WEIGHTS", "weights")):
    if _name not in os.environ and (SHARED / _below).is_dir():
        os.environ[_name] = str(SHARED / _below)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_arrives() -> None:
    """Let SIGINT reach what tests start, also where a shell runs them in the background."""
    with contextlib.suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what the suite remembers about files with the tests."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def _folder(variable: str, below: str) -> Path:
    base = os.environ.get(variable)
    path = Path(base or "absent") / below
    if not path.is_dir():
        pytest.skip(f"needs {below}: set {variable} to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def kodak_dir() -> Path:
    """The folder of the 24 Kodak images."""
    return _folder("BENCH_DATA", "kodak")


@pytest.fixture(scope="session")
def clic2025_dir() -> Path:
    """The folder of (some of) the CLIC 2025 validation images."""
    return _folder("BENCH_DATA", "clic2025")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The folder of weights that are not in the package."""
    return _folder("BENCH_WEIGHTS", ".")


@pytest.fixture(scope="session")
def kodim(kodak_dir: Path) -> Callable[[int], Image]:
    """Return a function: number of a Kodak image -> its pixels."""
    return lambda number: image.load(kodak_dir / f"kodim{number:02d}.png")


@pytest.fixture(scope="session")
def photo() -> Image:
    """A photograph that is always available: scikit-image's chelsea, 300x451."""
    import skimage

    return image.load(Path(skimage.__file__).parent / "data" / "chelsea.png")


@pytest.fixture(scope="session")
def compressai() -> Callable[[str], Any]:
    """Return a function: name of a module of CompressAI -> the module.

    Where it is not installed (no wheel for Python 3.13) the test is skipped; where it is and
    cannot be imported, the test fails.
    """
    try:
        _compressai.installed()
    except Unavailable as error:
        pytest.skip(str(error))
    return _compressai.load


@pytest.fixture
def no_compressai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process not find CompressAI, as on a machine that has no wheel of it."""

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_compressai, "distribution", absent)


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20211)


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process, where a test is not of the pool: each worker is two interpreters."""
    from bench.measurement import executor, head_start, matching

    for module in (executor, head_start, matching):
        monkeypatch.setattr(module, "LocalPool", forkserver.Here)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the codec ``faulty`` for this process and those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    plugins.install(folder)
    monkeypatch.syspath_prepend(str(folder))
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    registry.discover.cache_clear()
    yield folder
    registry.discover.cache_clear()


@pytest.fixture
def crops(tmp_path: Path, photo: Image) -> Path:
    """A folder of four different small photographs, 170x180."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, (top, left) in enumerate([(0, 0), (0, 260), (120, 40), (110, 200)]):
        image.save(photo[top : top + 170, left : left + 180], folder / f"crop{number}.png")
    return folder


class _Bench:
    """Runs ``bench`` with some words, as a user would; see ``forkserver``.

    ``fresh=True`` starts an interpreter of its own, where that is the point of a test;
    ``plots=True`` lets ``bench all`` draw its plots; ``workers=False`` measures in the process of
    the command, where a test is not of the pool: each worker is two interpreters.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None

    def __call__(
        self,
        *words: object,
        check: bool = True,
        fresh: bool = False,
        plots: bool = False,
        workers: bool = True,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Return the ended process; one that failed unasked fails the test.

        Small runs get one worker where they do not say how many: the tests themselves run on
        every core, and a second worker and its decoder cost more than they save.
        """
        texts = [str(word) for word in words]
        said = ("-j", "--jobs", "--scheduler", "--help")
        if texts[:1] == ["all"] and not any(text.startswith(said) for text in texts):
            texts += ["--jobs", "1"]
        if fresh or options.keys() - {"env", "cwd"} or sys.platform != "linux":
            done = subprocess.run(
                [sys.executable, "-m", "bench", *texts],
                **{"capture_output": True, "text": True, "timeout": 600, **options},
                check=False,
            )
        else:
            plots = plots or texts[:1] != ["all"]
            done = self._forked(texts, {"plots": plots, "workers": workers}, **options)
        if check and done.returncode != 0:
            pytest.fail(f"bench {words} -> {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def python(self, code: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Return the ended process that ran ``python -c code words``; options are env and cwd."""
        texts = [str(word) for word in words]
        if sys.platform == "linux":
            return self._forked(texts, {"code": code, "plots": True, "workers": True}, **options)
        whole = [sys.executable, "-c", code, *texts]
        return subprocess.run(whole, capture_output=True, text=True, check=False, **options)

    def _forked(
        self,
        words: list[str],
        asked: Mapping[str, object],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        if self._server is None or self._server.poll() is not None:
            script = forkserver.__file__
            pipe = subprocess.PIPE
            self._server = subprocess.Popen(
                [sys.executable, script], stdin=pipe, stdout=pipe, text=True, bufsize=1
            )
        out, err = self._folder / "out", self._folder / "err"
        for path in (out, err):
            path.write_bytes(b"")
        request = {
            **asked,
            "words": words,
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
            "out": str(out),
            "err": str(err),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        pid = json.loads(self._server.stdout.readline())["pid"]
        killer = threading.Timer(600, os.kill, (pid, signal.SIGKILL))
        killer.start()
        try:
            code = json.loads(self._server.stdout.readline())["code"]
        finally:
            killer.cancel()
        texts = [path.read_text(encoding="utf-8") for path in (out, err)]
        return subprocess.CompletedProcess(words, code, *texts)

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.communicate(timeout=60)


@pytest.fixture(scope="session")
def run_bench(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a function that runs ``python -m bench`` with some words, as a user would."""
    bench = _Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.close()
