"""When a command imports: without the collector, in a thread while workers measure."""

from __future__ import annotations

import gc

import pytest

from bench.cli import imports


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
