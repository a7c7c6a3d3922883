"""Help that can be read, examples that can be typed, names that the shell completes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from bench import metrics, registry
from bench.cli import _COMMANDS, command_line, completion
from bench.cli.help import EXAMPLES


def told(bench, monkeypatch, *words: str) -> str:
    """Return a help text in a window of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    done = bench(*words, "--help")
    assert (0, "") == (done.code, done.stderr)
    return done.stdout


def command(name: str) -> Any:
    """Return a command as Typer runs it."""
    return typer.main.get_command(command_line([name])).commands[name]


@pytest.mark.parametrize(
    "words",
    [
        ("all", "-d", "sample", "-c", "bpg", "-q", "45", "-q", "48"),
        ("all", "-d", "sample", "--points", "4", "--points", "8"),
        ("check", "--baseline", "a", "--baseline", "b"),
        ("train", "--out", "a", "--out", "b"),
    ],
)
def test_an_option_of_one_value_is_given_once(bench, words):
    """The last one would win in silence."""
    done = bench(*words)

    assert 2 == done.code
    assert f"{words[-2].replace('-q', '--quality')} was given 2 times" in done.stderr


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_help_is_readable(bench, monkeypatch, name: str):
    """No line is over 60 columns, nothing is cut, and no kind of value is named as in Python."""
    text = told(bench, monkeypatch, name)

    assert 60 >= max(map(len, text.splitlines()))
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert not re.search(r"<\w+|range>|list\[", text)


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_help_has_whole_sentences(name: str):
    """Every text begins with a capital letter and ends with a full stop."""
    found = command(name)
    texts = [found.help, *(param.help for param in found.params)]

    assert [] == [t for t in texts if not re.match(r"(?s)^[A-Z].*[.]$", str(t).strip())]


def test_a_default_is_shown(bench, monkeypatch):
    """By the command line where it has one, in words where the default is a choice of its own."""
    for param in command("all").params:
        usual = param.default is not None and not param.is_flag and param.name != "help"
        assert usual <= bool(param.show_default), param.name
    text = " ".join(told(bench, monkeypatch, "all").split())

    assert "[default: results/run]" in text
    assert "Default: bpg, else jpeg." in text


def test_commands_and_options_for_developers_stand_apart(bench, monkeypatch):
    """Users find their commands first."""
    text = told(bench, monkeypatch)
    users, _, developers = text.partition("For developers:")

    assert users.index("\n  all ") < users.index("\n  encode ")
    assert all(f"\n  {name} " in developers for name in ("check", "test-codec", "train"))
    assert "--scheduler" in told(bench, monkeypatch, "all").partition("For developers:")[2]


@pytest.mark.parametrize("name", _COMMANDS)
def test_examples_can_be_typed(name: str):
    """Three for each command; every one parses, and names codecs that there are."""
    assert 3 == len(EXAMPLES[name])
    for line in EXAMPLES[name]:
        first, second, *words = shlex.split(line)
        assert ("bench", name) == (first, second)
        context = command(name).make_context(name, words)
        for word in context.params.get("codec") or () if name != "test-codec" else ():
            assert registry.Spec.parse(word).name in registry.discover() or len(word) == 1
        context.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc"], "Did you mean 'check'?"),
        (["tabels"], "Did you mean 'tables'?"),
        (["nope"], "No such command 'nope'."),
        (["all", "--anchr", "jpeg"], "--anchor"),
    ],
)
def test_a_mistyped_command_is_suggested(bench, words: list[str], said: str):
    """The near one, or none; exit code 2."""
    done = bench(*words)

    assert (2, "") == (done.code, done.stdout)
    assert said in done.stderr


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_names_are_completed(cache: Path):
    """Codecs, datasets and metrics, by what is typed."""
    assert ["webp"] == completion.codecs("we")
    assert ["kodak"] == completion.datasets("ko")
    assert ["ms_ssim"] == completion.metrics("ms")
    assert {"kodak", "lpips-alex", "jpeg"} <= set(completion.fetchable(""))
    assert set(metrics.names()) == set(completion.metrics(""))


def test_a_second_key_imports_no_codec(cache: Path, monkeypatch):
    """The names are kept, until a plug-in's file changes; a damaged file of names is no fault."""
    names = completion.codecs("")
    monkeypatch.setattr(registry, "discover", lambda: pytest.fail("codecs were imported"))
    assert names == completion.codecs("")

    monkeypatch.setattr(registry, "discover", dict)
    monkeypatch.setattr(completion, "_state", lambda *_: "another state")
    assert [] == completion.codecs("")
    [kept] = cache.rglob("completion-codecs.json")
    kept.write_text("{")
    assert [] == completion.codecs("")


def test_a_new_file_of_a_codec_is_noticed(tmp_path: Path):
    """A module or a TOML file that appears makes the names be found anew."""
    states = [completion._state(tmp_path, "bench.nothing")]
    for name in ("a.py", "b.toml"):
        (tmp_path / name).touch()
        states.append(completion._state(tmp_path, "bench.nothing"))

    assert 3 == len(set(states))


@pytest.mark.parametrize(
    ("name", "option", "typed", "offered"),
    [
        ("all", "codec", "we", ["webp"]),
        ("all", "dataset", "ko", ["kodak"]),
        ("all", "metric", "ms", ["ms_ssim"]),
        ("tables", "anchor", "we", ["webp"]),
        ("check", "codec", "we", ["webp"]),
        ("fetch", "names", "lpips-a", ["lpips-alex"]),
    ],
)
def test_the_shell_is_offered_names(cache: Path, name, option, typed, offered):
    """Options that take a name complete it."""
    found = command(name)
    [param] = [param for param in found.params if param.name == option]
    context = found.make_context(name, [], resilient_parsing=True)

    assert offered == [item.value for item in param.shell_complete(context, typed)]
