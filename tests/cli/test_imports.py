"""When a command imports: without the collector, in a thread while workers measure."""

from __future__ import annotations

import ast
import gc
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.codec import imports
from bench.output import write


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_before_also_after_an_error(enabled: bool):
    """It is off inside, and afterwards on only where it was on."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with imports.without_collector():
            assert not gc.isenabled()
        with pytest.raises(ImportError), imports.without_collector():
            raise ImportError
        assert enabled == gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()


def test_an_import_that_fails_meanwhile_is_left_to_who_needs_it():
    """Its error neither ends the run nor is printed; the collector is on again."""

    def fail() -> None:
        raise ImportError("no such module")

    meanwhile = imports.Meanwhile(fail)
    meanwhile.wait()  # not started: returns at once
    meanwhile.start()
    meanwhile.wait()

    assert gc.isenabled()


@pytest.mark.parametrize("why", ["imported", "LD_LIBRARY_PATH", "TORCH_USE_RTLD_GLOBAL", "absent"])
def test_libraries_are_left_to_an_import_of_torch(why: str, monkeypatch: pytest.MonkeyPatch):
    """Where it has been, where the environment says which libraries, or where it is missing."""
    for name in ("LD_LIBRARY_PATH", "TORCH_USE_RTLD_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if why == "imported":
        monkeypatch.setitem(sys.modules, "torch", imports)
    elif why == "absent":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setenv(why, "1")

    assert imports.load_torch_libraries.__wrapped__() is None


def test_libraries_that_are_missing_are_left_to_an_import_of_torch(tmp_path: Path):
    """Nothing is raised in the thread: the import that comes later says what is missing."""
    assert not imports._load_libraries(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only there are libraries loaded ahead")
@pytest.mark.parametrize("wait", [True, False])
def test_a_process_may_end_while_libraries_are_loaded(wait: bool):
    """With its own exit code, and torch itself is not imported: neither by that nor by tables."""
    code = (
        "import sys\n"
        "from bench.codecs.agvae.weights import ahead, checkpoints\n"
        "from bench.codec.imports import load_torch_libraries\n"
        "thread = load_torch_libraries()\n"
        f"if {wait}:\n"
        "    [small] = checkpoints.find('gain-asym', preset='small')\n"
        "    ahead.begin(small)\n"
        "    print(ahead.take_tables(small).choices, not thread.is_alive())\n"
        "    print('libtorch_cpu' in open('/proc/self/maps').read(), 'torch' in sys.modules)\n"
        "sys.exit(3)"
    )
    unset = ("LD_LIBRARY_PATH", "TORCH_USE_RTLD_GLOBAL")
    env = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=env
    )

    said = "(0, 1, 2, 3) True\nTrue False\n" if wait else ""
    assert (3, said, "") == (done.returncode, done.stdout, done.stderr)


def test_what_outputs_need_is_imported_meanwhile(monkeypatch):
    """All that ``write`` imports where it needs it, of plots only where there are some."""
    found: list[str] = []
    monkeypatch.setattr(write.importlib, "import_module", found.append)
    write.prepare(plots=False)
    tables = set(found)
    write.prepare()

    late = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(inspect.getsource(write.write)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    rare = {"bench.output.complexity_plot"}  # of runs whose networks were counted
    assert late - rare == set(found) - {"bench.output.headline"}
    assert {name for name in tables if name.endswith("plots")} == set()
