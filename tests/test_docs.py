"""The documents: their commands run, their examples work, their links lead somewhere.

A block of commands (``sh``, ``console``) is run as it stands, in a folder with four photographs,
unless the comment before it says why not: ``<!-- not run: KIND: REASON -->``. All are parsed.
What a ``console`` block shows must be what is printed; ``...`` stands for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
import yaml

from bench import cli, image, metrics, registry
from bench.analysis.published_names import published
from bench.cli import command_line
from bench.dataset.open import overview
from bench.figures import spec

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "codecs/*/*.md", "results/*.md", "results/*/README.md")
    for path in ROOT.glob(pattern)
)
REASONS = {
    "environment",
    "ci",
    "web",
    "data",
    "machine",
    "long",
    "cluster",
    "training",
    "gpu",
    "code",
}
_FAULT = typer.BadParameter.__base__ or typer.BadParameter  # of every kind of wrong usage
_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(bench [a-z][a-z-]* [^`\n]+)`")
_CONFIGURED = re.compile(r"(?:commands = |run: |entry: )(bench [^\n{#]*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the comment before it, its language and its text."""

    document: str
    mark: str
    language: str
    text: str

    @property
    def reason(self) -> list[str]:
        """KIND and REASON of a block that is not run; else nothing."""
        kind, _, words = self.mark.removeprefix("not run: ").partition(": ")
        return [kind, words] if self.mark.startswith("not run: ") else []

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """Each command, and what is printed after it where the block shows that."""
        if self.language == "console":
            parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
            lines = [part.partition("\n")[::2] for part in parts]
        else:
            whole = re.sub(r"\\\n\s*", "", self.text)  # a line that goes on
            lines = [(line, "") for line in whole.splitlines()]
        bare = ((re.split(r"\s+#", line)[0].strip(), shown) for line, shown in lines)
        return tuple((line, shown) for line, shown in bare if line and not line.startswith("#"))


BLOCKS = [
    Block(str(path.relative_to(ROOT)), mark, language, text)
    for path in DOCUMENTS
    for mark, language, text in _BLOCK.findall(path.read_text())
]
SHELL = [block for block in BLOCKS if block.language in {"sh", "console"}]


def _documented() -> list[str]:
    """Return every ``bench`` command of the documents: of blocks, sentences and configurations."""
    found = [line.split(";")[0] for block in SHELL for line, _ in block.commands]
    for path in DOCUMENTS:
        if path.name == "CHANGELOG.md":  # it names what is gone
            continue
        found += _INLINE.findall(path.read_text().replace(" ...`", "`"))
    for block in BLOCKS:
        if block.language in {"yaml", "ini"}:
            found += _CONFIGURED.findall(block.text)
    return sorted({line.strip() for line in found if line.startswith("bench ")})


def test_documents_show_commands():
    """The collections below are not empty."""
    assert len(_documented()) >= 40
    assert sum(not block.mark for block in SHELL) >= 6


def test_marks():
    """A block that is not run says why; a Python example names the test that runs it."""
    wrong = [
        f"{b.document}: {b.mark!r}"
        for b in BLOCKS
        if (b.language in {"sh", "console"} and b.mark and (b.reason or [""])[0] not in REASONS)
        or (b.language in {"py", "python"} and not _tested(b.mark))
    ]

    assert [] == wrong
    calls = (ROOT / ".ci" / "run").read_text().splitlines()
    said = [line for b in SHELL if b.reason[:1] == ["ci"] for line, _ in b.commands]
    assert said
    assert [] == [line for line in said if line not in calls]


def _tested(mark: str) -> bool:
    words = mark.split()
    return words[:1] == ["python:"] and (ROOT / words[1]).is_file()


@pytest.mark.parametrize("line", _documented())
def test_documented_command_parses(line: str):
    """Every ``bench`` line in a document names a command, options, codecs, ... that exist."""
    words = [re.sub(r"^[A-Z]+$", "9", word) for word in shlex.split(line)[1:]]
    group = typer.main.get_command(command_line(words))
    command = group.get_command(None, words[0])

    assert command is not None, f"no command {words[0]}"
    fault = ""
    given: dict[str, object] = {}
    try:
        with command.make_context(words[0], words[1:], resilient_parsing=False) as context:
            given = context.params
    except _FAULT as error:
        fault = f"{type(error).__name__}: {error}"
    # A sentence may leave out a value, or what else the command wants.
    assert not fault or fault.startswith("MissingParameter") or "requires an argument" in fault
    assert words[0].startswith("train") or _unknown(given) == []


def _unknown(given: dict[str, object]) -> list[str]:
    """Return what a command names that is neither here nor the example of a document.

    Of a codec its options as well, where it is available. Files, folders and ``9`` for a word in
    capitals may be anything.
    """
    examples = {
        n for b in BLOCKS for n in re.findall(r'^ *name = "([\w-]+)"', b.text, re.MULTILINE)
    }
    known = {
        "codec": set(registry.discover()),
        "anchor": set(registry.discover()),
        "metric": {*(name.replace("_", "-") for name in metrics.discover()), "lpips"},
        "dataset": {entry["name"] for entry in overview(None)},
        "reference": set(published()),
        "only": {entry.id for entry in spec.load("agvae2021").entries},
    }
    found = []
    for option, names in known.items():
        value = given.get(option) or ()
        for word in [value] if isinstance(value, str) else value:
            name, _, options = word.partition(":")
            files = {"compressai", "folder", "cmd", "9"}
            if name in files | examples or re.search(r"[/*]|\.(py|toml|json)\b", name):
                continue
            if option == "metric":
                name = name.replace("_", "-")
            if not set(name.split(",")) <= names:
                found.append(f"{option} {word}")
            elif option == "codec" and options and registry.discover()[name].cls:
                registry.settings(registry.create(name), registry.Spec.parse(word))
    return found


def test_named_tests_exist():
    """A test or script that a sentence names is there, and has what ``-k`` looks for."""
    gone = []
    for path in DOCUMENTS:
        for line in re.findall(
            r"`([^`\n]*\b(?:pytest|python) [^`\n]*\.?py\b[^`\n]*)`", path.read_text()
        ):
            words = shlex.split(line)
            files = [ROOT / word for word in words if word.endswith(".py")]
            text = "".join(f.read_text() for f in files if f.is_file())
            chosen = words[words.index("-k") + 1].split() if "-k" in words else []
            if not all(f.is_file() for f in files) or any(
                word not in text for word in chosen if word not in {"and", "or", "not"}
            ):
                gone.append(f"{path.name}: {line}")

    assert [] == gone


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """A folder as a user has it: ``photo.png`` and the folder ``photos``."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "photos").mkdir()
    image.save(photo[:128, :128], folder / "photo.png")
    for number, (top, left) in enumerate([(0, 0), (0, 260), (120, 40), (110, 200)]):
        crop = photo[top : top + 170, left : left + 180]
        image.save(crop, folder / "photos" / f"crop{number}.png")
    return folder


@contextlib.contextmanager
def _words(words: list[str]) -> Iterator[None]:
    """Put words on the command line, and everything back that ``bench`` changes in a process."""
    before, handler = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, handler)


def run(line: str) -> tuple[int, str]:
    """Run a ``bench`` command in this process; return its exit code and what it printed."""
    shown = io.StringIO()
    code: object = 0
    with (
        _words(shlex.split(line)),
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(shown),
    ):
        try:
            cli.main()
        except SystemExit as error:
            code = error.code or 0
    return int(str(code)), shown.getvalue()


RUN = sorted({block.document for block in SHELL if not block.mark})
_DONE: set[tuple[tuple[str, str], ...]] = set()


@pytest.mark.parametrize("document", RUN)
def test_commands_run(
    document: str, place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    """Every command of a document ends well and prints what the document shows."""
    if document != "README.md":  # whose commands start workers, as a user's do
        request.getfixturevalue("without_workers")
    monkeypatch.chdir(place)
    for block in (b for b in BLOCKS if b.document == document and not b.reason):
        if block.mark.startswith("file: "):
            (place / block.mark.removeprefix("file: ")).write_text(block.text)
        if block.language not in {"sh", "console"} or block.commands in _DONE:
            continue
        _DONE.add(block.commands)  # another document shows the same
        for line, expected in block.commands:
            assert line.startswith("bench "), f"cannot be run here, say why: {line}"
            code, shown = run(line)
            assert 0 == code, f"{line}\n{shown}"
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            matches = doctest.OutputChecker().check_output(expected, shown, flags)
            assert not expected or matches, f"{line}\n{shown}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path):
    """A link or picture inside the project exists."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    inside = [t for t in targets if "://" not in t and not t.startswith("mailto:")]

    assert [] == [t for t in inside if not (document.parent / t).exists()]


def _results_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "docs/results_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_table():
    """The README's numbers are those of the committed results."""
    readme = (ROOT / "README.md").read_text()

    assert _results_table().filled(readme) == readme, "run python docs/results_table.py"


def test_readme_names_the_supported_python():
    """The versions of the README are those of the metadata."""
    metadata = (ROOT / "pyproject.toml").read_text()
    versions = re.findall(r"Python :: 3\.(\d+)", metadata)

    assert f"Python 3.{versions[0]} to 3.{versions[-1]} " in (ROOT / "README.md").read_text()


def test_readme_is_short():
    """It fits under 130 lines, and its picture loads at once."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 130
    assert (ROOT / "docs" / "images" / "page.webp").stat().st_size < 150_000


def test_readme_codec_runs(
    tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch, run_bench: Callable[..., object]
):
    """The example of the README, copied into a package of its own, is measured."""
    (code,) = (b.text for b in BLOCKS if b.document == "README.md" and b.language == "python")
    (tmp_path / "halver.py").write_text(code)
    info = tmp_path / "halver-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: halver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.codecs]\nhalver = halver:Halver\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    run_bench("all", "-d", f"folder:{crops}", "-c", "halver", "-m", "psnr", "--out", out)
    summary = (out / "summary.csv").read_text().splitlines()

    assert 1 + 4 == len(summary)
    assert "Traceback" not in (out / "rows.csv").read_text()


def test_configurations():
    """YAML of the documents is YAML; inputs of the action that gate.md names are those it has."""
    for block in BLOCKS:
        if block.language == "yaml":
            assert yaml.safe_load(block.text)
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    sentence = re.search(r"its inputs are (.*)\.", (ROOT / "docs" / "gate.md").read_text())
    assert sentence is not None
    assert sorted(action["inputs"]) == sorted(re.findall(r"`([a-z-]+)`", sentence[1]))


def test_reference_has_every_public_name():
    """The API reference documents what ``import bench`` offers."""
    import bench

    text = (ROOT / "docs" / "api.md").read_text()
    names = [n for n in bench.__all__ if not n.startswith("__")]

    assert [] == [n for n in names if not re.search(rf"[ .]{n}\b", text)]


def test_every_document_is_a_page():
    """Documents of these folders stand in the contents of the documentation."""
    index = (ROOT / "docs" / "index.md").read_text()
    lines = {os.path.normpath(ROOT / "docs" / f"{line}.md") for line in index.splitlines()}
    lines.add(str(ROOT / "README.md"))  # with a name of its own
    pages = [p for p in DOCUMENTS if p.parent.parent != ROOT / "results"]

    assert [] == [p.name for p in pages if str(p) not in lines and p != ROOT / "docs" / "index.md"]


def test_no_private_paths():
    """No tracked text names a path of the machine it was written on, or an owner left open."""
    found = subprocess.run(
        ["git", "grep", "-lE", "/work/(main|shared|venv)|/root/|OWNER/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()

    assert [] == [name for name in found if name != "tests/test_docs.py"]
