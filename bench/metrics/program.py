"""Running a program that the user named: no shell, a folder of its own, an end in any case."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import string
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from bench.errors import BenchError, one_line

DEFAULT_TIMEOUT_S = 600.0
_WORDS_OF_OUTPUT = 300
_LARGEST = 16 << 20


def run(
    words: Sequence[str],
    folder: str,
    refused: type[BenchError],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    remedy: str = "",
    errors_too: bool = True,
) -> str:
    """Run a program to its end in ``folder``, and return what it wrote.

    Parameters
    ----------
    words
        The program and its arguments.
    folder
        Where it runs.
    refused
        What to raise.
    timeout_s
        What it may take.
    remedy
        What to do where it takes longer.
    errors_too
        Whether what it writes as an error is returned as well.

    Raises
    ------
    refused
        If it fails, is not there, or takes more than ``timeout_s``; it is ended with its children.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors_too else errors,
                process_group=0,
            )
        except (OSError, ValueError) as error:
            raise refused(f"{words[0]} cannot be started: {error}") from error
        try:
            text = _output(process, timeout_s)
        except ValueError as error:
            late = remedy if "took" in str(error) else ""
            raise refused(f"{words[0]} {error}", late) from None
        if not process.returncode:
            return text
        errors.seek(0)
        said = f"{errors.read(_LARGEST).decode('utf-8', 'replace')} {text}".strip()
    what = f"exit code {process.returncode}"
    if process.returncode < 0:
        what = f"signal {-process.returncode}"
    said = one_line(said, _WORDS_OF_OUTPUT)
    raise refused(f"{words[0]} failed with {what}: {said or 'it wrote nothing'}")


def _output(process: subprocess.Popen[bytes], timeout_s: float) -> str:
    """Return what a program writes until its end, or raise ``ValueError`` where it is ended."""
    assert process.stdout is not None
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        _kill(process)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    with process:
        try:
            written = process.stdout.read(_LARGEST + 1)
            if len(written) > _LARGEST:
                raise ValueError(f"wrote more than {_LARGEST >> 20} MiB of text and was ended")
            process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                _kill(process)
    if late:
        raise ValueError(f"took more than {timeout_s:g} s and was ended")
    return written.decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def arguments(
    name: str, text: str, allowed: Sequence[str], wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the arguments of a command line whose places are checked.

    Parameters
    ----------
    name
        What messages call it.
    text
        Program and arguments, with places such as ``{input}``.
    allowed, wanted
        The places that it may have, and that it must have.

    Raises
    ------
    ValueError
        If it cannot be split, has a place that nothing fills, or lacks one.
    """
    try:
        words = shlex.split(text)
        places = [part for word in words[1:] for part in string.Formatter().parse(word)]
    except ValueError as error:
        raise ValueError(f"{name} cannot be split into arguments ({error}): {text!r}") from error
    if not words:
        raise ValueError(f"{name} is empty")
    found = [field for _, field, _, _ in places if field is not None]
    for _, field, form, conversion in places:
        if field is not None and (field not in allowed or form or conversion):
            fits = ", ".join(f"{{{place}}}" for place in allowed) or "no places"
            raise ValueError(
                f"{name} has the place {{{field}}} that nothing fills (known: {fits}; "
                "a brace itself is written twice)"
            )
    missing = [f"{{{place}}}" for place in wanted if place not in found]
    if missing:
        raise ValueError(f"{name} lacks {' and '.join(missing)}")
    return tuple(words)
