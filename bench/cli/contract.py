"""``bench test-codec``: whether a codec keeps the contract."""

from __future__ import annotations

from typing import Annotated

import typer


def test_codec(
    codec: Annotated[
        str,
        typer.Argument(
            metavar="CODEC",
            help="A codec's name, FILE.py:Class, FILE.toml or compressai:arch=ARCH,weights=FILES.",
        ),
    ],
) -> None:
    """Check one codec against the contract.

    Exit code 0: it keeps it, 1: it does not, 2: cannot tell.

    Every check runs in a process of its own, on a photograph, on noise and on pictures of 1x1,
    7x1, 8x13 and 163x161 pixels. A codec that is unavailable is an error, not a success.
    """
    from rich.markup import escape

    from bench import registry
    from bench.cli.working import console
    from bench.measurement import contract

    screen = console(stderr=False)
    spec = registry.Spec.typed(codec)
    broken = 0
    for verdict in contract.run(spec.name):
        word = "[green]ok    [/]" if not verdict.fault else "[bold red]BROKEN[/]"
        screen.print(f"{word} {escape(verdict.promise)}")
        if verdict.fault:
            broken += 1
            screen.print(f"       {escape(verdict.fault)}")
    total = len(contract.CHECKS)
    screen.print(f"{spec.name}: {total - broken} of {total} checks passed")
    if broken:
        raise typer.Exit(1)
