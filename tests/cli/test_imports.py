"""When a command imports: without the collector, in a thread while workers measure."""

from __future__ import annotations

import ast
import gc
import inspect

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
