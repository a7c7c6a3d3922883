"""``bench`` as a process: how it ends where PyTorch is loaded, and what commands import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image

ENDING = """
import atexit, sys, types
from bench.cli.process import script
class Large:
    def __del__(self):
        print("unloaded")
torch = types.ModuleType("torch")
torch.cuda = types.SimpleNamespace(is_initialized=lambda: False)
torch.large = Large()
sys.modules["torch"] = torch
atexit.register(print, "before")
register = atexit.register
def also(*args):
    register(*args)
    register(print, "after")
    atexit.register = register
atexit.register = also
"""


def ended(words: list[str], code: str = ENDING, **how: object) -> subprocess.CompletedProcess[str]:
    """Return a process that called the script with these words, which is watched as it ends."""
    run = f"{code}\nsys.argv = ['bench', *{words}]\nscript()"
    how["env"] = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", run], check=False, stderr=subprocess.PIPE, text=True, **how
    )


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["info", "nosuch.jpg"], 2)])
def test_torch_is_not_unloaded(words: list[str], code: int):
    """What is buffered is written, handlers that came later are called, the exit code stays."""
    done = ended(words, stdout=subprocess.PIPE)

    assert code == done.returncode
    assert done.stdout.splitlines()[-1] == "after"
    assert ("bench: cannot read nosuch.jpg" in done.stderr) == (code == 2)


@pytest.mark.parametrize(
    "change",
    [
        "del sys.modules['torch']",
        "torch.cuda.is_initialized = lambda: True",
        "sys.setprofile(lambda *_: None)",
        "sys.modules['coverage'] = torch",
        "import bench.cli.process as p; p.main = lambda: 1 / 0",
    ],
)
def test_processes_that_end_in_the_usual_way(change: str):
    """Without torch, with a GPU in use, watched, or after an error that nobody expected."""
    done = ended(["--version"], f"{ENDING}{change}", stdout=subprocess.PIPE)

    assert "before" in done.stdout.splitlines()
    assert int("1 / 0" in change) == done.returncode


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["encode", "--help"], "None"),
        (["decode", "--device", "cuda", "--help"], "absent"),
        (["encode", "--device=cuda", "--help"], "absent"),
        (["check", "--help"], "absent"),
    ],
)
def test_bindings_of_cuda_are_left_out_on_a_cpu(words: list[str], found: str):
    """PyTorch imports them where they can be; only a process for one file on a CPU hides them."""
    code = (
        "import atexit, sys; from bench.cli.process import script\n"
        "atexit.register(lambda: print(sys.modules.get('cuda.bindings', 'absent')))"
    )

    assert found == ended(words, code, stdout=subprocess.PIPE).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said", "policy"),
    [
        (["encode", "--help"], "", "passive"),
        (["decode", "--help"], "active", "active"),
        (["throughput", "--help"], "", "None"),
    ],
)
def test_threads_of_one_file_do_not_spin(
    words: list[str], said: str, policy: str, monkeypatch: pytest.MonkeyPatch
):
    """PyTorch's threads sleep where they wait, unless the user says how; never in what is timed."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if said:
        monkeypatch.setenv("OMP_WAIT_POLICY", said)
    code = (
        "import atexit, os, sys; from bench.cli.process import script\n"
        "atexit.register(lambda: print(os.environ.get('OMP_WAIT_POLICY')))"
    )

    assert policy == ended(words, code, stdout=subprocess.PIPE).stdout.splitlines()[-1]


def test_output_that_cannot_be_written_is_said(tmp_path: Path):
    """As the interpreter does it: exit code 120, and the reason."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    code = ENDING + "import bench.cli.process as process; process.main = lambda: print('lost')"
    with full.open("w") as out:
        done = ended([], code, stdout=out)

    assert 120 == done.returncode
    assert "No space left" in done.stderr


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["--version"], ""),
        (["info", "a.jpg"], ""),
        (["test-codec", "null"], "from bench.measurement import contract; contract.run = kept"),
    ],
)
def test_a_reader_who_left_is_no_verdict(words: list[str], change: str, tmp_path: Path):
    """Exit code 1 would say that something regressed, changed or is broken."""
    image.save(np.zeros((32, 32, 3), np.uint8), tmp_path / "a.png")
    PILImage.open(tmp_path / "a.png").save(tmp_path / "a.jpg")
    kept = "kept = lambda _: [types.SimpleNamespace(fault='', promise='p')]\n"
    read, write = os.pipe()
    os.close(read)
    try:
        done = ended(words, f"{ENDING}{kept}{change}", stdout=write, cwd=tmp_path)
    finally:
        os.close(write)

    assert (141, "") == (done.returncode, done.stderr)


def test_ctrl_c_is_said_whenever_it_comes():
    """Also in a command that says nothing of it."""
    change = "from bench.cli import files; files._read = lambda _: exec('raise KeyboardInterrupt')"
    done = ended(["info", "a.jpg"], ENDING + change, stdout=subprocess.PIPE)

    assert (130, "bench: interrupted\n") == (done.returncode, done.stderr)


def test_commands_for_one_file_import_the_codec_that_it_needs(tmp_path: Path):
    """Neither encoding nor recognising a file loads the libraries of codecs that come later."""
    source, target = tmp_path / "a.png", tmp_path / "a.avif"
    image.save(np.zeros((32, 32, 3), np.uint8), source)
    code = (
        "import atexit, sys; from bench.cli.process import script\n"
        "libraries = {'av', 'torch', 'pandas', 'pillow_jxl', 'bench.codecs.jpeg', 'psutil'}\n"
        "atexit.register(lambda: print(*libraries & {*sys.modules}))"
    )
    for words in (["encode", str(source), str(target)], ["decode", str(target), str(source)]):
        done = ended(words, code, stdout=subprocess.PIPE)

        assert (0, "") == (done.returncode, done.stderr)
        assert "" == done.stdout.splitlines()[-1]
