"""Commands and figures of other packages: found by metadata, imported when they are used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from bench import registry
from bench.cli import command_line
from bench.errors import UsageError
from bench.figures import registry as kinds
from bench.output.figure import Skipped

Bench = Callable[..., subprocess.CompletedProcess[str]]

CODE = '''
"""Commands and figures of a stranger."""
import sys
from typing import Annotated
import typer
from bench.figures.spec import Entry
print("imported", file=sys.stderr)

def greet(name: Annotated[str, typer.Argument()], loud: bool = False) -> None:
    """Say hello to somebody.

    The rest is not for the list of commands.
    """
    typer.echo(f"hello {name.upper() if loud else name}")

def fail() -> None:
    """Fail as a command of the suite does."""
    from bench.errors import UsageError
    raise UsageError("no luck", "Try again.")

NUMBER = 3

def bare(context, entry, options): ...
'''

POINTS = """
[bench.commands]
all = stranger:greet
exits = stranger_exits:greet
fail = stranger:fail
gone = stranger_gone:greet
greet = stranger:greet
number = stranger:NUMBER

[bench.figures]
bare = stranger:bare
exits = stranger_exits:make
number = stranger:NUMBER
"""


@pytest.fixture
def stranger(tmp_path: Path) -> dict[str, str]:
    """The environment in which a package of somebody else is installed."""
    (tmp_path / "stranger.py").write_text(CODE)
    (tmp_path / "stranger_exits.py").write_text("raise SystemExit(0)\n")
    info = tmp_path / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_help_lists_commands_without_importing_them(stranger, run_bench: Bench):
    """Each with the first line of its documentation, where the source can be read."""
    done = run_bench("--help", env={**stranger, "COLUMNS": "200"})

    told = " ".join(done.stdout.split())

    assert "imported" not in done.stderr
    assert "Say hello to somebody. " in told
    assert "The rest" not in told
    assert "A command of stranger. " in told
    assert "Train one network" in told


def test_a_command_of_another_package_is_a_command(stranger, run_bench: Bench):
    """With its arguments, its help and one-line errors."""
    done = run_bench("greet", "you", "--loud", env=stranger)
    failed = run_bench("fail", env=stranger, check=False)

    assert "hello YOU\n" == done.stdout
    assert "Say hello" in run_bench("greet", "--help", env=stranger).stdout
    assert (2, "bench: no luck. Try again.") == (failed.returncode, failed.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "gone of stranger (stranger_gone:greet) cannot be imported: No module named"),
        ("exits", "exits of stranger (stranger_exits:greet) cannot be imported: SystemExit"),
        ("number", "its entry point names no function, found 3"),
    ],
)
def test_a_broken_command_costs_itself_only(stranger, run_bench: Bench, name: str, reason: str):
    """It ends in one line and exit code 2; all others work."""
    done = run_bench(name, env=stranger, check=False)

    assert 2 == done.returncode
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "jpeg" in run_bench("list", env=stranger).stdout


def test_no_package_replaces_a_command_of_the_suite(stranger, run_bench: Bench):
    """And that is said, whatever is called."""
    done = run_bench("all", "--help", env=stranger)

    for called in (done, run_bench("list", env=stranger)):
        assert "command all of stranger is left out" in called.stderr
    assert "hello" not in done.stdout
    assert "--points" in done.stdout


def test_two_packages_of_one_name_are_refused(monkeypatch):
    """Rather than one of them run by chance."""
    points = [EntryPoint("x", value, "bench.commands") for value in ("a:f", "b:f")]
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)

    with pytest.raises(UsageError, match=r"2 packages offer 'x' in bench.commands: a:f, b:f"):
        registry.load_plugin("bench.commands", "x")


@pytest.mark.parametrize("name", ["bare", "exits", "number"])
def test_a_broken_kind_of_figure_costs_its_figures_only(stranger, monkeypatch, name: str):
    """They are left out with the reason."""
    monkeypatch.syspath_prepend(stranger["PYTHONPATH"])

    assert name in kinds.names()
    with pytest.raises(Skipped, match=f"kind {name}"):
        kinds._kind(name)


@pytest.mark.parametrize(
    ("words", "built"),
    [
        (["list", "all"], {"list"}),
        (["--debug", "list", "--json"], {"list"}),
        (["train"], None),
        (["lst"], None),
        (["--help"], None),
        ([], None),
    ],
)
def test_only_the_command_that_is_called_is_built(words: list[str], built: set[str] | None):
    """Where it is one of ours; a help text and a mistyped word want to know all."""
    found = set(typer.main.get_command(command_line(words)).commands)

    assert (built or {"list", "all", "train", "ablation"}) <= found
    assert built is None or built == found


def test_own_plug_ins_are_known():
    """The metadata of this installation has AG-VAE's commands and figures."""
    assert "" == registry.outdated_metadata("bench.commands")
    assert "" == registry.outdated_metadata(kinds.GROUP)
    assert {"rd", "speed", "gain-vectors", "importance"} <= set(kinds.names())


def test_metadata_older_than_the_source_is_named(monkeypatch):
    """An installation from before a plug-in was declared says what to do."""
    from bench.cli import plugins

    for module in (registry, plugins):
        monkeypatch.setattr(module, "entry_points", lambda **_: ())

    with pytest.raises(UsageError, match=r"'train' is installed.*older than its source\. Install"):
        command_line(["train"])
    command_line(["list"])
