"""A codec that is a program: pictures and files travel through it in a folder of each call."""

from __future__ import annotations

import shlex
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from bench.codec import Codec, Scalar, Setting
from bench.errors import (
    CodecError,
    DecodeError,
    EncodeError,
    ImageError,
    Unavailable,
    one_line,
)
from bench.image import Image, load, max_pixels, save
from bench.metrics import program
from bench.registry.command_file import Command, read


class CommandCodec(Codec):
    """A codec that is a program; each TOML file makes a subclass with its ``command``."""

    in_default_run = False
    command: ClassVar[Command]

    def __init__(self) -> None:
        for words in (self.command.encode, self.command.decode, self.command.version):
            if shutil.which(words[0]) is None:
                how = f" {self.command.install}" if self.command.install else ""
                raise Unavailable(f"the program {words[0]} is not installed.{how}")

    def ladder(self) -> Sequence[Setting]:
        """Return the ladder of the file."""
        return self.command.ladder

    def version(self) -> str:
        """Return the first line that the version command writes."""
        return _version(self.command)

    def describe(self, setting: Setting) -> str:
        """Return every parameter but rate and effort, such as ``yuv 420``."""
        others = (key for key in setting if key not in (self.command.rate, self.command.effort))
        return " ".join(f"{key} {setting[key]}" for key in others)

    def effort(self, setting: Setting) -> str:
        """Return the parameter that the file calls its effort, or the file's words."""
        name = self.command.effort
        return f"{name} {setting[name]}" if name in setting else name

    def ceiling(self, image: Image, setting: Setting) -> None:
        """Return None: what a program does to colours before it codes them cannot be asked."""

    def note(self) -> str:
        """Return the caveat of the file."""
        return self.command.note

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file that the encoder writes for a picture in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            source, target = self._paths(Path(folder), encoding=True)
            save(image, source)
            words = _filled(self.command.encode, {**setting, **_named(source, target)})
            _run(self.command, words, folder, EncodeError)
            return _read(self.command, target)

    def decode(self, data: bytes) -> Image:
        """Return the picture that the decoder writes for the bytes alone."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            source, target = self._paths(Path(folder), encoding=False)
            source.write_bytes(data)
            words = _filled(self.command.decode, _named(source, target))
            _run(self.command, words, folder, DecodeError)
            try:
                return load(target)
            except ImageError as error:
                raise DecodeError(
                    f"{self.command.decode[0]} wrote no 8-bit picture: {error.what}"
                ) from error

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with the file's ``magic``, where it has one."""
        return bool(self.command.magic) and data.startswith(self.command.magic)

    def _paths(self, folder: Path, *, encoding: bool) -> tuple[Path, Path]:
        picture, suffix = self.command.input_suffix, self.command.suffix
        before, after = (picture, suffix) if encoding else (suffix, picture)
        return folder / f"input{before}", folder / f"output{after}"


def _named(source: Path, target: Path) -> dict[str, str]:
    return {"input": str(source), "output": str(target)}


def _filled(words: Sequence[str], values: Mapping[str, Scalar]) -> list[str]:
    """Return program and arguments, each place filled; a value never becomes two arguments."""
    return [words[0], *(word.format_map(values) for word in words[1:])]


def _run(
    command: Command, words: list[str], folder: str, refused: type[EncodeError | DecodeError]
) -> str:
    """Run a program to its end in ``folder``, and return what it wrote."""
    remedy = f"Raise timeout_s in {command.path.name}."
    return program.run(words, folder, refused, timeout_s=command.timeout_s, remedy=remedy)


def _read(command: Command, path: Path) -> bytes:
    """Return the encoder's file, if it is one and no larger than raw samples would be."""
    try:
        found = path.lstat()
    except OSError:
        raise EncodeError(
            f"{command.encode[0]} ended without an error and wrote no file {path.name}",
            f"See {{output}} in {command.path.name}.",
        ) from None
    if not stat.S_ISREG(found.st_mode) or found.st_size > 16 * max_pixels() + (1 << 20):
        raise EncodeError(f"{command.encode[0]} wrote no regular file of sensible size")
    return path.read_bytes()


@cache
def _version(command: Command) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            written = _run(command, list(command.version), folder, EncodeError)
        except CodecError as error:
            raise Unavailable(f"its version is unknown: {error}") from error
    lines = [one_line(line, 100) for line in written.splitlines() if line.strip()]
    if not lines:
        raise Unavailable(
            f"its version is unknown: {shlex.join(command.version)} wrote nothing",
            "Give a command that writes one: equal versions mean equal files.",
        )
    program = Path(command.version[0]).name
    return lines[0] if program in lines[0] else f"{program} {lines[0]}"


def codec_class(path: Path) -> type[CommandCodec]:
    """Return the codec that a TOML file describes; its name is the file's stem.

    Raises
    ------
    UsageError
        If the file cannot be read or is not such a description.
    """
    command = read(path)
    return type(
        "CommandCodec",
        (CommandCodec,),
        {
            "__module__": __name__,
            "__doc__": command.title,
            "name": path.stem,
            "title": command.title,
            "suffix": command.suffix,
            "rate": command.rate,
            "parameters": command.parameters,
            "command": command,
        },
    )
