"""The documents: their commands exist, their example codec runs, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from bench.cli import command_line

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "codecs/*/*.md", "results/*.md", "results/*/README.md")
    for path in ROOT.glob(pattern)
)


def shell_lines(text: str) -> list[str]:
    """Return the lines of every ```sh block, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


COMMANDS = sorted(
    {
        line
        for document in DOCUMENTS
        for line in shell_lines(document.read_text())
        if line.startswith("bench ")
    }
)


def test_documents_show_commands():
    """The collection below is not empty."""
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_command_parses(line: str):
    """Every ``bench`` line in a document names a command and options that exist."""
    words = shlex.split(line)[1:]
    group = typer.main.get_command(command_line(words))
    command = group.get_command(None, words[0])

    assert command is not None, f"no command {words[0]}"
    with command.make_context(words[0], words[1:], resilient_parsing=False) as context:
        assert context.params


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path):
    """A link or picture inside the project exists."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    inside = [t for t in targets if "://" not in t and not t.startswith("mailto:")]

    assert [] == [t for t in inside if not (document.parent / t).exists()]


def test_readme_codec_runs(
    tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch, run_bench: Callable[..., object]
):
    """The example of the README, copied into a package of its own, is measured."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "halver.py").write_text(code.group(1))
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


def test_setup_commands_are_the_ones_ci_relies_on():
    """README's test command is what ``.ci/run`` calls last."""
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]

    assert last in shell_lines((ROOT / "README.md").read_text())


def test_no_private_paths():
    """No tracked text names a path of the machine it was written on."""
    found = subprocess.run(
        ["git", "grep", "-lE", "/work/(main|shared|venv)|/root/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()

    assert [] == [name for name in found if name != "tests/test_docs.py"]
