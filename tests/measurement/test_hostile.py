"""Codecs that exit, crash, hang, fork, cheat, write where they should not: each costs one cell."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import psutil
import pytest

from bench import image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = ["image", "codec", "setting", "bytes", "psnr_db", "bitstream_sha256"]
HANGS = ["stop-process", "hang", "hang-lock", "swallow", "d-hang", "d-hang-lock"]
APART = ["patch", "swap", "remove", "slow"]
HERE = r" \(hostile_codecs.py:\d+\)"
EXPECTED = {
    "exit": "crashed: SystemExit: 0" + HERE,
    "exit-text": "crashed: SystemExit: done" + HERE,
    "interrupt": "crashed: KeyboardInterrupt" + HERE,
    "generator": "crashed: GeneratorExit" + HERE,
    "arguments": "crashed: NeedsArguments: two arguments" + HERE,
    "stop": "crashed: StopIteration" + HERE,
    "bad-text": r"crashed: BadText: \(BadText without a readable message\)" + HERE,
    "surrogate": r"crashed: ValueError: bad \\udcff name" + HERE,
    "controls": r"crashed: ValueError: a\\x00b\\x1b\[31m\\x07\\u202e </script>" + HERE,
    "long": r"crashed: ValueError: x{1000} \.\.\. \(5000000 characters\)" + HERE,
    "recursion": "crashed: RecursionError: maximum recursion depth exceeded.*" + HERE,
    "os-exit": "died: exit code 0 in encode",
    "segv": "died: SIGSEGV in encode" + HERE,
    "kill": "died: SIGKILL in encode",
    "abort": "died: SIGABRT in encode" + HERE,
    "stop-process": "timed out: after 3 s in encode",
    "hang": "timed out: after 3 s in encode" + HERE,
    "hang-lock": "timed out: after 3 s in encode" + HERE,
    "swallow": "timed out: after 3 s in encode" + HERE,
    "memory": "out of memory: the process held .* GiB; all together may hold 0.8 GiB" + HERE,
    "memory-error": "out of memory: MemoryError" + HERE,
    "refuse": "refused: EncodeError: not this picture" + HERE,
    "own-kind": "crashed: CodecFailed: identical bytes" + HERE,
    "no-kind": "crashed: CodecFailed" + HERE,
    "text": r"refused: EncodeError: h-text.encode\(\) returned str, wanted bytes",
    "number": r"refused: EncodeError: h-number.encode\(\) returned int, wanted bytes",
    "nothing": r"refused: EncodeError: h-nothing.encode\(\) returned NoneType, wanted bytes",
    "empty": r"refused: EncodeError: h-empty.encode\(\) returned no bytes, wanted a file",
    "huge": "refused: EncodeError: h-huge made a file of 999000001 bytes.*",
    "close": "died: the process closed its connection in encode",
    "everywhere": "died: .* in encode",
    "write": "crashed: ValueError: assignment destination is read-only" + HERE,
    "write-flag": "crashed: ValueError: cannot set WRITEABLE flag.*" + HERE,
    "write-address": "crashed: h-write-address wrote into the picture that it was given",
    "d-exit": "crashed: SystemExit: 0" + HERE,
    "d-interrupt": "crashed: KeyboardInterrupt" + HERE,
    "d-os-exit": "died: exit code 0 in decode",
    "d-segv": "died: SIGSEGV in decode" + HERE,
    "d-hang": "timed out: after 3 s in decode" + HERE,
    "d-hang-lock": "timed out: after 3 s in decode" + HERE,
    "d-memory": "out of memory: the process held .* GiB; .*" + HERE,
    "d-refuse": "refused: DecodeError: damaged" + HERE,
    "d-shape": r"refused: DecodeError: decoded to uint8 of \(47, 64, 3\).*",
    "d-type": "refused: DecodeError: .* returned float64 of 48x64x3.*",
    "d-list": "refused: DecodeError: .* returned list, wanted an array of uint8",
    "d-nothing": "refused: DecodeError: .* returned NoneType, wanted an array of uint8",
    "d-empty": "refused: DecodeError: .* returned uint8 of 0x64x3.*",
    "m-self": "crashed: AttributeError: .*" + HERE,
    "m-class": "crashed: AttributeError: .*" + HERE,
    "m-list": "crashed: IndexError: .*" + HERE,
    "m-module": "crashed: AttributeError: .*" + HERE,
    "m-search": "crashed: StopIteration" + HERE,
    "m-worker": "crashed: KeyError: 'bench.measurement.pictures'" + HERE,
    "c-exit": "crashed: SystemExit: 0" + HERE,
    "c-write": "crashed: ValueError: assignment destination is read-only" + HERE,
    "c-text": "refused: DecodeError: .* returned str, wanted an array of uint8",
}
HARMLESS = ["fork", "daemon", "thread", "noise", "process"]


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostile", ROOT / "tests" / "hostile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the hostile package is installed; its processes carry a mark."""
    folder = _module().install(tmp_path_factory.mktemp("site"))
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "BENCH_MEMORY_GIB": "0.8",
        "BENCH_TEST_MARK": uuid.uuid4().hex,
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photo: image.Image) -> Path:
    """A folder with one small photograph."""
    folder = tmp_path_factory.mktemp("pictures")
    image.save(photo[100:148, 200:264], folder / "one.png")
    return folder


def bench(env: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in the environment ``env``."""
    command = [sys.executable, "-m", "bench", *map(str, words)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=env, timeout=1500
    )


def all_(pictures: Path, out: Path, codecs: list[str], jobs: int = 2) -> list[object]:
    """Return the words of a run."""
    chosen = [word for codec in codecs for word in ("-c", codec)]
    return ["all", "-d", f"folder:{pictures}", "-m", "psnr", "-j", jobs, "--out", out, *chosen]


def rows_of(out: Path) -> pd.DataFrame:
    """Return rows.csv."""
    return pd.read_csv(out / "rows.csv", keep_default_na=False, na_values=[""])


def marked(env: dict[str, str]) -> list[str]:
    """Return the processes that carry the mark of ``env``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BENCH_TEST_MARK") == env["BENCH_TEST_MARK"]:
                found.append(f"{process.pid} {process.cmdline()}")
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def measured(
    site: dict[str, str], pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, list[subprocess.CompletedProcess[str]], list[str]]:
    """The rows of two runs over the hostile set, how they ended, and the processes they left."""
    rows, done = [], []
    for hangs, limit in ((True, 3), (False, 120)):
        words = [w for w in [*EXPECTED, *HARMLESS] if (w in HANGS) == hangs and w not in APART]
        out = tmp_path_factory.mktemp("run") / "out"
        codecs = ["jpeg", "h-sound", *(f"h-{word}" for word in words)]
        done.append(bench(site, *all_(pictures, out, codecs), "--timeout", limit))
        rows.append(rows_of(out))
    return pd.concat(rows), done, marked(site)


def test_runs_end_well_and_leave_nothing(measured):
    """Some cells failed, which is said: tables, exit code 0, no traceback, no process left."""
    _, done, left = measured
    for one in done:
        assert 0 == one.returncode, one.stderr
        assert "Traceback" not in one.stderr
        assert "failed" in one.stderr
        assert "GARBAGE" not in one.stdout + one.stderr
        assert "\x1b[31mGARBAGE" not in one.stdout

    assert [] == left


@pytest.mark.parametrize("word", EXPECTED)
def test_a_fault_costs_one_cell_and_says_where(measured, word: str):
    """The row of the fault has its kind, the error and the line; the other three are measured."""
    rows = measured[0]
    mine = rows[rows.codec == f"h-{word}"]
    (text,) = mine.error.dropna()

    assert 4 == len(mine)
    assert re.fullmatch(EXPECTED[word], text), text
    assert 3 == mine.psnr_db.notna().sum()


@pytest.mark.parametrize("word", HARMLESS)
def test_what_a_codec_starts_or_prints_costs_nothing(measured, word: str):
    """A fork, a daemon, a thread, noise or a changed process leave the rows as they are."""
    rows = measured[0]
    mine, sound = (rows[rows.codec == name] for name in (f"h-{word}", "h-sound"))

    assert mine.error.isna().all()
    assert sound.psnr_db.head(4).tolist() == mine.psnr_db.tolist()


def test_rows_of_others_are_as_without_hostile_codecs(
    measured, site: dict[str, str], pictures: Path, tmp_path: Path
):
    """JPEG and a sound codec of the same package have the rows of a run on their own."""
    done = bench(site, *all_(pictures, tmp_path / "out", ["jpeg", "h-sound"]))
    alone = rows_of(tmp_path / "out")[NUMBERS].reset_index(drop=True)
    both = measured[0]
    both = both[both.codec.isin(["jpeg", "h-sound"])][NUMBERS].reset_index(drop=True)

    assert 0 == done.returncode
    pd.testing.assert_frame_equal(
        pd.concat([alone, alone], ignore_index=True), both, check_dtype=False
    )


def test_what_a_codec_changes_in_libraries_is_gone_with_it(
    site: dict[str, str], pictures: Path, tmp_path: Path
):
    """A codec that changes numpy, json and its own package's base class harms no sibling."""
    done = bench(site, *all_(pictures, tmp_path / "out", ["h-patch", "h-sound", "jpeg"], 1))
    rows = rows_of(tmp_path / "out")
    failed = rows[rows.error.notna()]

    assert 0 == done.returncode
    assert {"h-patch"} == set(failed.codec)
    assert 12 == len(rows[rows.codec != "h-patch"])


def test_broken_codecs_are_listed_with_their_reason(site: dict[str, str]):
    """``bench list`` names broken plug-ins, with --verbose also why; ours keeps its name."""
    plain, verbose = bench(site, "list"), bench(site, "list", "--verbose")
    [line] = [line for line in plain.stdout.splitlines() if "h-b-init" in line]
    for done in (plain, verbose):
        assert 0 == done.returncode, done.stderr
        for name, words in {
            "h-b-init": "RuntimeError: no start",
            "h-b-init-exit": "SystemExit: 0",
            "h-b-os-exit": "the process that loaded it died (exit code 0)",
            "h-b-segv": "the process that loaded it died (exit code -11)",
            "h-ends": "the process that loaded it died (exit code 0)",
            "h-b-version": "SystemExit: 0",
            "h-b-version-type": "returned int, wanted text",
            "h-b-empty": "is empty",
            "h-b-ladder": "wanted bench.codec.Setting",
            "h-b-label": "KeyboardInterrupt",
            "h-b-describe": "returned bytes, wanted text",
            "h-b-suffix": "suffix is None, wanted str",
            "h-exits": "SystemExit: 0",
            "jpeg@hostile-codecs": "another codec is named jpeg",
        }.items():
            assert name in line
            reason = rf"  {re.escape(name)}: unavailable: .*{re.escape(words)}"
            assert done is plain or re.search(reason, done.stdout), name
        assert re.search(r"^\* jpeg +JPEG 4:2:0", done.stdout, re.MULTILINE)


def test_all_codecs_failed_is_exit_code_2(site: dict[str, str], pictures: Path, tmp_path: Path):
    """Where every cell exits there is a verdict, not success."""
    done = bench(site, *all_(pictures, tmp_path / "out", ["h-exit"]), "-q", 16)

    assert 2 == done.returncode
    assert "nothing was measured: all 1 cells failed" in done.stderr


@pytest.mark.parametrize("word", ["hang-lock", "swallow"])
def test_ctrl_c_ends_a_run_that_hangs(
    site: dict[str, str], pictures: Path, tmp_path: Path, word: str
):
    """One SIGINT: exit code 130 within seconds, no process left, what was measured is stored."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench", *map(str, all_(pictures, out, ["jpeg", f"h-{word}"]))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=site) as run:
        while _stored(out) < 8 + 3:
            time.sleep(0.1)
        started = time.monotonic()
        run.send_signal(signal.SIGINT)
        try:
            stderr = run.communicate(timeout=60)[1]
        finally:
            run.kill()  # else a run that goes on would hang the tests as well
    took_s = time.monotonic() - started

    assert 130 == run.returncode
    assert "Traceback" not in stderr
    assert took_s < 20  # 2 to 3 on a machine with nothing else to do
    assert [] == marked(site)
    assert 11 == _stored(out)


def _stored(out: Path) -> int:
    try:
        with closing(sqlite3.connect(out / "bench.sqlite")) as db, db:
            (count,) = db.execute("SELECT COUNT(*) FROM encodings").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(count)


def test_a_picture_that_changes_during_the_run_is_an_error(
    site: dict[str, str], tmp_path: Path, photo: image.Image
):
    """A file swapped after the plan was made is not measured under the old one's hash."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    first, second = photo[:48, :64].copy(), photo[100:148, :64]
    first[0, 0, 0] = 1
    image.save(first, folder / "a.png")
    image.save(second, folder / "b.png")
    image.save(np.rot90(second, 2), tmp_path / "other.png")
    env = site | {"HOSTILE_FROM": str(tmp_path / "other.png"), "HOSTILE_TO": str(folder / "b.png")}
    done = bench(env, *all_(folder, tmp_path / "out", ["h-swap"], 1))
    rows = rows_of(tmp_path / "out")
    failed = rows[rows.error.notna()]

    assert 0 == done.returncode, done.stderr
    assert {"b.png"} == set(failed.image)
    assert 4 == len(failed)
    assert failed.error.str.startswith("refused: DatasetError: ").all()
    assert failed.error.str.contains("holds another picture now").all()


def test_a_folder_removed_during_the_run_is_one_line(
    site: dict[str, str], pictures: Path, tmp_path: Path
):
    """``--out`` that is deleted meanwhile ends the run with exit code 2."""
    env = site | {"HOSTILE_OUT": str(tmp_path / "out")}
    done = bench(env, *all_(pictures, tmp_path / "out", ["h-slow", "h-remove"]))

    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert "was removed or replaced during the run" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("os-exit", "died: exit code 0"),
        ("segv", "died: SIGSEGV"),
        ("memory", "out of memory: "),
        ("write", "crashed: ValueError: assignment destination is read-only"),
        ("m-self", "crashed: AttributeError"),
        ("b-version", "h-b-version is unavailable: crashed: SystemExit"),
    ],
)
def test_encode_is_one_line(
    site: dict[str, str], pictures: Path, tmp_path: Path, word: str, kind: str
):
    """``bench encode`` with a hostile codec: exit code 2, one line, no file."""
    quality = () if word.startswith("b-") else ("-q", 16)
    words = ("encode", pictures / "one.png", tmp_path / "x.bin", "-c", f"h-{word}", *quality)
    done = bench(site, *words)

    assert 2 == done.returncode
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert kind in done.stderr
    assert not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize(
    ("word", "kind"), [("d-exit", "crashed: SystemExit"), ("d-segv", "died: SIGSEGV")]
)
def test_decode_is_one_line(
    site: dict[str, str], pictures: Path, tmp_path: Path, word: str, kind: str
):
    """``bench decode`` with a hostile codec: exit code 2, one line, no image."""
    source = tmp_path / "x.bin"
    bench(site, "encode", pictures / "one.png", source, "-c", "h-sound", "-q", 16)
    done = bench(site, "decode", source, tmp_path / "x.png", "-c", f"h-{word}")
    traced = bench(site, "decode", source, tmp_path / "x.png", "-c", f"h-{word}", "--debug")

    assert 2 == done.returncode
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert kind in done.stderr
    assert not (tmp_path / "x.png").exists()
    assert 2 == traced.returncode
    assert "Traceback" in traced.stderr
