"""A metric that is a program: ``cmd:NAME=PROGRAM {reference} {decoded}``, which writes a number.

``cmd:NAME:lower=...`` says that lower is better, ``cmd:NAME:90s=...`` how long one call may take.
No shell is involved: the text is split into arguments once. Each call gets two PNG files in a
folder of its own. The metric's version holds hashes of the command, of the program and of every
file that the command names, so that a changed one never meets old scores.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.errors import MetricError, UsageError
from bench.image import Image
from bench.metrics import Metric, require_same_shape
from bench.metrics.plugin_files import sha256_of
from bench.metrics.program import DEFAULT_TIMEOUT_S, arguments, run

PREFIX = "cmd:"
_WORD = re.compile(
    r"cmd:(?P<name>[A-Za-z][\w.-]{0,63})(?P<options>(?::[^:=\s]*)*)=(?P<text>.+)", re.DOTALL
)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s:=,;()\[\]{}\"']+")
_PLACES = ("reference", "decoded")
_SIDE = 64
_FORM = "Write cmd:NAME=PROGRAM {reference} {decoded}, or cmd:NAME:lower=... where lower is better."


@dataclass(frozen=True, slots=True)
class Command:
    """What ``--metric cmd:...`` says.

    Attributes
    ----------
    name
        Of the metric.
    words
        Program and arguments; paths of files are absolute.
    higher_is_better
        The direction.
    timeout_s
        What one call may take.
    """

    name: str
    words: tuple[str, ...]
    higher_is_better: bool
    timeout_s: float

    @property
    def word(self) -> str:
        """What says the same on any command line."""
        options = "" if self.higher_is_better else ":lower"
        if self.timeout_s != DEFAULT_TIMEOUT_S:
            options += f":{self.timeout_s:g}s"
        return f"{PREFIX}{self.name}{options}={shlex.join(self.words)}"

    @property
    def sha256(self) -> str:
        """Hash of the command, of its program and of every file that it names."""
        program, *others = self.words
        paths = [Path(word) for word in (program, *map(_plain, others)) if word.startswith("/")]
        hashes = [sha256_of(path) for path in paths if path.is_file()]
        parts = [*self.words, str(self.higher_is_better), *hashes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(text: str) -> Command:
    """Return what ``cmd:NAME:OPTION=PROGRAM ...`` says.

    Raises
    ------
    UsageError
        If it has another form, or the program is not installed.
    """
    found = _WORD.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no command of a metric", _FORM)
    lower, timeout_s = False, DEFAULT_TIMEOUT_S
    for option in filter(None, found["options"].split(":")):
        seconds = _SECONDS.fullmatch(option)
        if seconds is not None and float(seconds[1]) > 0:
            timeout_s = float(seconds[1])
        elif option in ("lower", "higher"):
            lower = option == "lower"
        else:
            raise UsageError(f"{text!r} has the unknown option {option!r}", "lower, higher or 60s.")
    try:
        words = arguments("it", found["text"], _PLACES, _PLACES)
    except ValueError as error:
        raise UsageError(f"{text!r} is no command of a metric: {error}", _FORM) from error
    program = shutil.which(os.path.expanduser(words[0]))  # noqa: PTH111 - ./x must stay ./x
    if program is None:
        raise UsageError(
            f"metric {found['name']}: the program {words[0]} is not installed", "Check its name."
        )
    resolved = (str(Path(program).absolute()), *(_absolute(word) for word in words[1:]))
    return Command(found["name"], resolved, not lower, timeout_s)


def _plain(word: str) -> str:
    """Return an argument without places as the program gets it: a brace is written twice."""
    return word.replace("{{", "{").replace("}}", "}")


def _absolute(word: str) -> str:
    """Return the absolute path where a word names a file: programs run in folders of their own."""
    path = Path(_plain(word)).expanduser()
    if not ("/" in word or path.suffix) or not path.is_file():
        return word
    return str(path.absolute()).replace("{", "{{").replace("}", "}}")


class CommandMetric(Metric):
    """A metric that is a program; each command makes a subclass."""

    command: ClassVar[Command]
    sha256: ClassVar[str]

    def prepare(self, reference: Image) -> tuple[Image, bytes]:
        """Return the reference, and it as a PNG file."""
        return reference, _png(reference)

    def score(self, state: tuple[Image, bytes], decoded: Image) -> float:
        """Return the number that the program writes.

        Raises
        ------
        MetricError
            If it fails, takes too long, or writes no number or more than one.
        """
        if self.command.sha256 != self.sha256:
            raise MetricError(f"metric {self.name} was changed while it was used", "Run again.")
        reference, data = state
        require_same_shape(reference.shape, decoded)
        with tempfile.TemporaryDirectory(prefix="bench-metric-") as folder:
            paths = {place: Path(folder, f"{place}.png") for place in _PLACES}
            paths["reference"].write_bytes(data)
            paths["decoded"].write_bytes(_png(decoded))
            values = {place: str(path) for place, path in paths.items()}
            first, *others = self.command.words
            words = [first, *(word.format_map(values) for word in others)]
            timeout_s = self.command.timeout_s
            remedy = f"Allow more time: cmd:{self.name}:{2 * timeout_s:g}s=..."
            text = run(
                words, folder, MetricError, timeout_s=timeout_s, remedy=remedy, errors_too=False
            )
        return number(text, first)


def _png(image: Image) -> bytes:
    from PIL import Image as PILImage

    buffer = BytesIO()
    PILImage.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def number(text: str, program: str) -> float:
    """Return the one number of a text; where there are several, the one that has a line to itself.

    ``butteraugli_main`` writes ``1.87`` and then ``3-norm: 0.92``: the first is meant.

    Raises
    ------
    MetricError
        If that is no number, or not one.
    """
    words = [word for word in _BETWEEN.split(text) if _NUMBER.fullmatch(word)]
    if len(words) > 1:
        lines = [line.strip() for line in text.splitlines()]
        words = [line for line in lines if _NUMBER.fullmatch(line)] or words
    if len(words) != 1:
        shown = " ".join(text.split())[:100] or "nothing"
        raise MetricError(f"{program} wrote {len(words)} numbers, wanted one: {shown}")
    return float(words[0])


def metric_class(text: str) -> type[CommandMetric]:
    """Return the metric that a command is.

    Raises
    ------
    UsageError
        If the text has another form, or the program is not installed.
    """
    command = read(text)
    digest = command.sha256
    shown = shlex.join([Path(command.words[0]).name, *command.words[1:]])
    return type(
        "CommandMetric",
        (CommandMetric,),
        {
            "__module__": __name__,
            "name": command.name,
            "higher_is_better": command.higher_is_better,
            "version": f"command {digest[:12]}",
            "sha256": digest,
            "definition": f"{command.name}: the number that `{shown}` writes; "
            f"{'higher' if command.higher_is_better else 'lower'} is better.",
            "command": command,
        },
    )


def try_out(metric: CommandMetric) -> None:
    """Run a command on two small pairs of pictures, before anything is measured with it.

    Raises
    ------
    MetricError
        If it fails, writes no number, or finds a picture full of noise better than an exact copy.
    """
    ramp = np.linspace(40, 215, _SIDE)
    picture = np.repeat((ramp[:, None] + ramp[::-1]) / 2, 3).reshape(_SIDE, _SIDE, 3)
    noise = np.random.default_rng(1).normal(0, 30, picture.shape)
    reference, worse = (np.clip(p, 0, 255).astype(np.uint8) for p in (picture, picture + noise))
    exact, noisy = (metric(reference, decoded) for decoded in (reference, worse))
    rises = exact > noisy if metric.higher_is_better else exact < noisy
    if math.isnan(exact) or math.isnan(noisy):
        raise MetricError(f"metric {metric.name} wrote nan, wanted a number")
    if exact != noisy and not rises:
        said, other = ("higher", "lower") if metric.higher_is_better else ("lower", "higher")
        raise MetricError(
            f"metric {metric.name}: {said} is said to be better, but an exact copy has {exact:g} "
            f"and a noisy one {noisy:g}",
            f"Write cmd:{metric.name}:{other}=...",
        )
