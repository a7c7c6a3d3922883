"""Compiled loops: never those of another source or CPU, and compiled where nothing is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bench import image
from bench.codecs.agvae.bitstream import rans_kernels
from bench.errors import OutputError
from bench.files import make_folder, user_cache
from bench.image import machine_code, numba_jit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one for machine code."""
    monkeypatch.setattr(machine_code, "folders", lambda: iter([tmp_path]))
    return tmp_path


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process in which numba compiles nothing."""
    monkeypatch.setattr(machine_code, "store", lambda *_: pytest.fail("compiled again"))
    monkeypatch.setattr(numba_jit.Loop, "by_numba", property(lambda _: pytest.fail("numba used")))
    return monkeypatch


def sums_of(constant: int):
    """Return a loop that adds a constant to numbers, which it reads as a global."""
    space: dict = {"__name__": "loops", "CONSTANT": constant}
    code = "def total(x):\n  s = 0\n  for i in range(x.size):\n    s += x[i] + CONSTANT\n  return s"
    exec(code, space)
    space["total"].__annotations__["return"] = "int"
    return numba_jit.compiled(space["total"])


def answer() -> int:
    """Return what a new loop makes, from wherever its code comes."""
    return sums_of(7)(np.array([3, 1]))


def test_code_is_kept_and_found_without_numba(folder: Path, request: pytest.FixtureRequest):
    """The second process reads what the first one wrote; the numbers are the same."""
    first = answer()
    request.getfixturevalue("no_numba")

    assert 18 == first == answer()
    assert 1 == len(list(folder.glob("total-*.loop")))


def test_another_constant_is_another_loop(folder: Path):
    """Names hash what code depends on: a global number, the source, versions, CPU."""
    x = np.arange(3)

    assert [3, 33] == [sums_of(0)(x), sums_of(10)(x)]
    assert 2 == len(list(folder.iterdir()))


def test_another_cpu_never_gets_the_code(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A home folder that two machines share holds a file for each."""
    names = {machine_code.name_of("loop", "same")}
    monkeypatch.setattr(machine_code, "_environment", lambda: ("3.13", "other CPU"))
    names.add(machine_code.name_of("loop", "same"))

    assert 2 == len(names)
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "folder"])
def test_damaged_code_is_compiled_again(folder: Path, damage: str):
    """A file that is cut, changed, empty or no file at all is never run."""
    answer()
    [path] = folder.iterdir()
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        flipped = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
        path.write_bytes({"cut": data[:-1], "flipped": flipped, "empty": b""}[damage])

    assert machine_code.load(path.name) is None
    assert 18 == answer()
    assert (machine_code.load(path.name) is None) == (damage == "folder")


def test_code_of_another_loop_is_not_run(folder: Path):
    """A file that was copied to another loop's name is whole, but not that loop's."""
    answer()
    [path] = folder.iterdir()
    other = path.rename(folder / machine_code.name_of("total", "another"))

    assert machine_code.load(other.name) is None


@pytest.mark.parametrize("old", [False, True])
def test_places_for_code_are_never_relative(monkeypatch: pytest.MonkeyPatch, *, old: bool):
    """Without a home the cache is not a folder ~ of the current one, where anybody may write."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if old:
        monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **_kw: Path("~/.cache"))

    assert Path(os.devnull) in user_cache().parents
    assert [True, True] == [place.is_absolute() for place in machine_code.folders()]
    with pytest.raises(OutputError, match="cannot"):
        make_folder(user_cache())


def test_other_ways_to_compile_give_other_names(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """How a loop is compiled is part of its name: an update never runs code made in the old way."""
    answer()

    def by_numba(loop: numba_jit.Loop):
        return numba_jit._intermediate.__globals__["numba_of"](loop)

    monkeypatch.setitem(vars(numba_jit), "numba_of", numba_jit._compiled_by_numba)
    monkeypatch.setattr(numba_jit, "_compiled_by_numba", by_numba)

    assert 18 == answer()
    assert 2 == len(list(folder.iterdir()))


def test_integers_beyond_64_bits_are_not_cut(folder: Path, no_numba: pytest.MonkeyPatch):
    """C would keep the lower 64 bits in silence: such a number goes to numba, which refuses it."""
    no_numba.setattr(numba_jit.Loop, "by_numba", property(lambda loop: loop.py_func))
    space: dict = {"__name__": "loops"}
    exec("def same(n):\n  return n", space)
    space["same"].__annotations__["return"] = "int"

    assert 2**64 + 5 == numba_jit.compiled(space["same"])(2**64 + 5)
    assert [] == list(folder.iterdir())


def test_prefetching_changes_nothing(folder: Path, request: pytest.FixtureRequest):
    """A loop that asks for memory ahead, also beyond its array, gives what it gives without."""
    space: dict = {"__name__": "loops", "prefetch": numba_jit.prefetch}
    code = "def total(x):\n  s = 0\n  for i in range(x.size):\n    prefetch(x, i + 99999999)\n"
    exec(code + "    s += x[i]\n  return s", space)
    space["total"].__annotations__["return"] = "int"
    numbers = np.arange(5)

    assert 10 == numba_jit.compiled(space["total"])(numbers)
    assert 10 == space["total"](numbers)
    request.getfixturevalue("no_numba")
    assert 10 == numba_jit.compiled(space["total"])(numbers)
    assert 1 == len(list(folder.glob("total-*.loop")))


@pytest.mark.parametrize("inner", [False, True])
def test_loops_that_raise_are_left_to_numba(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, inner: bool
):
    """A C function cannot raise: it would print something and return 0."""
    space: dict = {"__name__": "loops"}
    exec("def bad(n):\n  if n > 2:\n    raise ValueError(str(7))\n  return n", space)
    exec("def outer(n):\n  return bad(n)", space)
    space["bad"].__annotations__["return"] = space["outer"].__annotations__["return"] = "int"
    monkeypatch.setattr(numba_jit.Loop, "by_numba", property(lambda loop: loop.py_func))
    loop = space["bad"] = numba_jit.compiled(space["bad"])
    if inner:
        loop = numba_jit.compiled(space["outer"])

    with pytest.raises(ValueError, match="7"):
        loop(3)
    assert [] == list(folder.iterdir())


def test_loops_run_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A read-only installation without a home folder still gets compiled loops."""
    (tmp_path / "file").write_bytes(b"")
    for places in ([], [tmp_path / "file" / "below"]):
        monkeypatch.setattr(machine_code, "folders", lambda places=places: iter(places))

        assert 18 == answer()


def test_settings_of_numba_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    """Whoever asks for bounds checks or for no compiler gets that, not machine code from disk."""
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    monkeypatch.setattr(numba_jit.Loop, "by_numba", property(lambda loop: loop.py_func))

    assert 18 == answer()
    monkeypatch.delenv("NUMBA_BOUNDSCHECK")
    monkeypatch.chdir(tmp_path_factory.mktemp("project"))
    Path(".numba_config.yaml").write_text("boundscheck: 1\n")

    assert 18 == answer()
    assert [] == list(folder.iterdir())


def test_arrays_with_gaps_are_read_right(folder: Path, no_numba: pytest.MonkeyPatch):
    """What is not contiguous goes to numba, which knows strides; never to code that does not."""
    no_numba.setattr(numba_jit.Loop, "by_numba", property(lambda loop: loop.py_func))
    x = np.arange(12).reshape(3, 4)[:, 1]

    assert 15 == sums_of(0)(x)
    assert [] == list(folder.iterdir())


def test_read_only_and_empty_arrays(folder: Path):
    """Arrays that cannot be written to, or have no element, reach the code as well."""
    x = np.arange(4)
    x.setflags(write=False)

    assert [6, 0] == [sums_of(0)(x), sums_of(0)(np.empty(0, np.int64))]
    assert 1 == len(list(folder.iterdir()))


def test_a_loop_reads_nothing_but_numbers(folder: Path):
    """A global array's content would not be part of the name: such a loop is refused."""
    loop = sums_of(0)
    loop.py_func.__globals__["CONSTANT"] = np.zeros(3)

    with pytest.raises(TypeError, match="CONSTANT: neither a number nor a loop"):
        loop(np.arange(3))
    assert [] == list(folder.iterdir())


def test_a_start_imports_no_numba():
    """A process that finds all code on disk saves the second that importing numba takes."""
    rans_kernels.apportion(np.array([3, 1]), 8, np.empty(2, np.int64))
    code = (
        "import sys, numpy as np\n"
        "from bench.codecs.agvae.bitstream.rans_kernels import apportion\n"
        "out = np.empty(2, np.int64)\n"
        "apportion(np.array([3, 1]), 8, out)\n"
        "print(out, *{'numba', 'scipy', 'pandas', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[6 2]" == done.stdout.strip()


def test_code_of_every_loop_is_kept(tmp_path: Path):
    """None needs what only numba can give, such as slices: it would be compiled in each process."""
    code = (
        "import sys, numpy as np; from bench import colour, image, metrics\n"
        "photo = image.load(sys.argv[1])\n"
        "for chroma in ('4:4:4', '4:2:0'): colour.round_trip(photo, chroma=chroma)\n"
        "for name in ('psnr', 'ms_ssim', 'ssimulacra2'): metrics.create(name)(photo, photo)\n"
        "print(*{'numba'} & {*sys.modules})"
    )
    picture = np.random.default_rng(0).integers(0, 256, (170, 170, 3), np.uint8)
    image.save(picture, tmp_path / "noise.png")
    words = [sys.executable, "-c", code, str(tmp_path / "noise.png")]
    for _ in range(2):
        done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert "" == done.stdout.strip()


def test_fused_loops_are_others(folder: Path):
    """Code that rounds a product and a sum once is never taken for code that rounds both."""
    loop = sums_of(7)
    fused = numba_jit.compiled_fused(loop.py_func)

    assert [18, 18] == [loop(np.array([3, 1])), fused(np.array([3, 1]))]
    assert 2 == len(list(folder.iterdir()))


def test_threads_that_call_a_loop_for_the_first_time_make_it_once(
    monkeypatch: pytest.MonkeyPatch,
):
    """The second waits for the first, and takes what that made."""
    made: list[object] = []

    def make(_: numba_jit.Loop, kinds: object):
        made.append(kinds)
        time.sleep(0.02)
        return lambda x: x.size

    monkeypatch.setattr(numba_jit.Loop, "_made", make)
    loop, both = sums_of(1), threading.Barrier(2)

    def call() -> int:
        both.wait()
        return loop(np.zeros(3, np.int64))

    with ThreadPoolExecutor(2) as pool:
        found = [one.result() for one in [pool.submit(call), pool.submit(call)]]

    assert ([3, 3], 1) == (found, len(made))
