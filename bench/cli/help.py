"""How ``--help`` looks: sections of a name and a sentence, readable at 60 columns."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import select
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

NO_READER = 141
"""The exit code of a command whose output nobody reads to the end, as of one that SIGPIPE ended."""

_KINDS = {
    r"<?(list\[)?(str|text)\]?>?": "TEXT",
    r"<?(list\[)?(path|file)\]?>?": "PATH",
    r"<?(int|integer)( range)?>?( ?\[?x.=\d+\]?)?": "N",
    r"<?float( range)?>?( ?\[?x.=[\d.]+\]?)?": "NUMBER",
}
"""What the kinds of values are called in whatever version of Typer there is -> here."""

EXAMPLES = {
    "all": (
        "bench all --quick",
        "bench all -d kodak -c jpeg -c bpg -m psnr",
        "bench all -d folder:photos --points 4 -o results/mine",
    ),
    "list": ("bench list", "bench list --verbose", "bench list --json"),
    "fetch": ("bench fetch kodak", "bench fetch lpips-alex", "bench fetch kodak --data-dir data"),
    "report": (
        "bench report",
        "bench report -o results/mine --html page.html",
        "bench report --anchor jpeg --rates 0.25,0.5",
    ),
    "tables": (
        "bench tables",
        "bench tables -o results/kodak",
        "bench tables -o results/kodak --anchor jpeg",
    ),
    "plots": (
        "bench plots",
        "bench plots -o results/kodak",
        "bench plots -o results/kodak --reference vtm.json",
    ),
    "export": (
        "bench export --to hub",
        "bench export -o results/kodak --to hub --licence cc-by-4.0",
        "bench export -o results/kodak --to hub --anchor jpeg",
    ),
    "match": (
        "bench match folder:photos",
        "bench match folder:photos --from jpeg:quality=90 -c avif",
        "bench match folder:photos --from as-is -t ssimulacra2=85",
    ),
    "encode": (
        "bench encode photo.png photo.avif",
        "bench encode photo.png photo.webp --quality 80",
        "bench encode photo.png photo.agv -c agvae --bpp 0.3",
    ),
    "decode": (
        "bench decode photo.agv photo.png",
        "bench decode photo.bpg photo.png -c bpg",
        "bench decode deep.bpg photo.png -c bpg:depth=10",
    ),
    "info": (
        "bench info photo.jpg",
        "bench info --parts photo.agv",
        "bench info photo.bin -c null",
    ),
    "check": (
        "bench check",
        "bench check --update -c jpeg -c webp --points 5",
        "bench check --markdown gate.md --junit gate.xml",
    ),
    "figures": (
        "bench figures",
        "bench figures -r results/kodak --only fig07-rd-psnr",
        "bench figures --out figures --fresh",
    ),
    "complexity": (
        "bench complexity -c agvae -c agvae-small",
        "bench complexity -c agvae -o results/complexity",
        "bench complexity -r results/run",
    ),
    "throughput": (
        "bench throughput",
        "bench throughput -d kodak -c agvae --device cuda",
        "bench throughput -r results/run --threads 1",
    ),
    "compare": (
        "bench compare before after",
        "bench compare before after --html changes.html",
        "bench compare before after --json",
    ),
    "merge": (
        "bench merge laptop server --out results/both",
        "bench merge a b c --out all --prefer-first",
        "bench merge a b --out both --reference vtm18",
    ),
    "import": (
        "bench import rows.csv -d kodak --out theirs",
        "bench import VM -d folder:originals -o theirs",
        "bench import codec_compare -o theirs",
    ),
    "test-codec": (
        "bench test-codec jpeg",
        "bench test-codec my_codec.py:MyCodec",
        "bench test-codec my_codec.toml",
    ),
}
"""Command -> three commands that one can type."""


class Command(TyperCommand):
    """A command whose help has its options by panel, then examples."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's
        """Read the words; an option of one value that stands there twice is an error.

        Click would take the last one: ``-q 45 -q 48`` would measure 48 and say nothing.
        """
        if not ctx.resilient_parsing:
            given = self.make_parser(ctx).parse_args(args=list(args))[2]
            for param in {id(one): one for one in given}.values():
                _check_given_once(param, given.count(param))
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, or Typer's own
        """Write the help."""
        self.format_usage(ctx, formatter)
        _write_text(formatter, self.help)
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                usual = "Options" if param.param_type_name == "option" else "Arguments"
                panel = getattr(param, "rich_help_panel", None) or usual
                names = _plain(record[0]) if usual == "Options" else record[0].split()[0]
                panels.setdefault(panel, []).append((names, record[1]))
        for panel in sorted(panels, key=lambda name: ("Arguments", "Options").count(name) == 0):
            _write_section(formatter, panel, panels[panel])
        _write_examples(formatter, EXAMPLES.get(self.name or "", ()))


class Group(TyperGroup):
    """The command ``bench``, whose help has its commands by panel."""

    def make_context(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - click's
        """Read the words; ``--help`` and ``--version`` print already."""
        with _ends():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's
        """Run a command."""
        with _ends():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the help."""
        self.format_usage(ctx, formatter)
        _write_text(formatter, self.help)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                first = inspect.cleandoc(command.help or "").partition("\n\n")[0]
                panels.setdefault(panel, []).append((name, " ".join(first.split())))
        for panel, commands in panels.items():
            _write_section(formatter, panel, commands)
        records = (param.get_help_record(ctx) for param in self.get_params(ctx))
        options = [(_plain(record[0]), record[1]) for record in records if record is not None]
        _write_section(formatter, "Options", options)
        _write_examples(formatter, ("bench all --quick", "bench report", "bench COMMAND --help"))


@contextlib.contextmanager
def _ends() -> Iterator[None]:
    """Say that Ctrl-C ended a command, and end otherwise than by a verdict if its reader left.

    Typer would say nothing of the former, and end the latter with 1.
    """
    try:
        yield
    except BrokenPipeError as error:
        if not _write_nowhere():
            raise RuntimeError("a pipe within broke") from error
        raise typer.Exit(NO_READER) from None
    except KeyboardInterrupt:
        typer.echo("bench: interrupted", err=True)
        raise typer.Exit(130) from None


def _write_nowhere() -> bool:
    """Let what is still to be written to a closed pipe go nowhere; return whether there is one."""
    left = select.poll()
    for stream in (sys.stdout, sys.stderr):
        left.register(stream.fileno(), 0)
    closed = [file for file, event in left.poll(0) if event & (select.POLLERR | select.POLLHUP)]
    for file in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file)
    return bool(closed)


def _check_given_once(param: Any, times: int) -> None:  # noqa: ANN401 - click's
    from bench.errors import UsageError

    once = param.param_type_name == "option" and not (param.multiple or param.is_flag)
    if once and times > 1:
        raise UsageError(
            f"{param.opts[0]} was given {times} times, it takes one value",
            "Give it once; a list has commas and no spaces: 45,48."
            if "," in (param.metavar or "")
            else "Give it once.",
        )


def _plain(names: str) -> str:
    """Return the names of an option with a short word for the kind of its value."""
    found = re.match(r"^(.*?-[\w-]+)( (?:<|[A-Z]).*)$", names)
    if not found:
        return names
    head, tail = found[1], found[2].strip()
    for pattern, word in _KINDS.items():
        if re.fullmatch(pattern, tail, re.IGNORECASE):
            return f"{head} {word}"
    return f"{head} {tail}"


def _write_text(formatter: Any, text: str | None) -> None:  # noqa: ANN401 - click's formatter
    """Write paragraphs, wrapped and indented."""
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(inspect.cleandoc(text or "").partition("\f")[0])


def _write_section(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:  # noqa: ANN401
    if rows:
        with formatter.section(typer.style(title, bold=True)):
            formatter.write_dl(list(rows), col_max=24)


def _write_examples(formatter: Any, lines: Sequence[str]) -> None:  # noqa: ANN401
    if lines:
        with formatter.section(typer.style("Examples", bold=True)):
            formatter.write("".join(f"{'':>{formatter.current_indent}}{line}\n" for line in lines))
