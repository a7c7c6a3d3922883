"""``bench encode``, ``decode``, ``info`` for one file of any codec; ``bench fetch``."""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bench.cli import completion
from bench.cli.options import DataDir, Device

if TYPE_CHECKING:
    from bench.codec import Setting
    from bench.image import Image
    from bench.rate_search import Target
    from bench.registry import Spec

R = TypeVar("R")

CodecOfFile = Annotated[
    str | None,
    typer.Option(
        "--codec",
        "-c",
        metavar="NAME",
        autocompletion=completion.codecs,
        help="Codec of the file. Default: the one that knows its first bytes.",
    ),
]


def _apart(name: str, function: Callable[..., R], *args: Any) -> R:  # noqa: ANN401
    """Return ``function(*args)``, with a stranger's codec in a process of its own.

    What starts processes is imported for strangers alone: it takes longer than most codecs.
    """
    from bench import registry

    found = registry.find(name)
    if found is None or not found.package:
        return function(*args)
    from bench.measurement.executor import apart

    return apart(name, function, *args)


def encode(
    source: Annotated[Path, typer.Argument(metavar="IMAGE", help="The 8-bit image to compress.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The compressed file to write.")],
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            "-c",
            metavar="NAME",
            autocompletion=completion.codecs,
            help="Compress with this codec: NAME or NAME:OPTION=VALUE,.... Default: the one whose "
            "files have the suffix.",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            "--quality",
            "-q",
            metavar="NUMBER",
            help="Value of the codec's own rate parameter. Default: the middle of its ladder.",
        ),
    ] = None,
    bpp: Annotated[
        float | None,
        typer.Option("--bpp", metavar="NUMBER", help="Bits per pixel to come nearest to, instead."),
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="METRIC=VALUE",
            help="Come nearest to this value of any metric, instead: psnr=38, ssimulacra2=80, "
            "bpp=0.5.",
        ),
    ] = None,
    device: Device = "cpu",
) -> None:
    """Compress one image, and say its size, rate and PSNR."""
    from bench import files, image, registry
    from bench.errors import UsageError
    from bench.metrics.psnr import Psnr

    if sum(option is not None for option in (quality, bpp, wanted)) > 1:
        raise UsageError("--quality, --bpp and --target exclude each other", "Give one of them.")
    _check_target(source, target)
    spec = registry.Spec.typed(codec or _by_suffix(target))
    registry.check_device(device)
    aim = _aim(bpp, wanted)
    pixels = image.load(source)
    how = (spec, device, pixels, quality, aim)
    data, label, setting, value, note = _apart(spec.name, _encode, *how)
    psnr = Psnr()(pixels, _apart(spec.name, _ask, spec.name, device, "decode", data))
    files.write_atomically(target, data)
    found = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
    typer.echo(
        f"{target}: {len(data)} bytes, {found:.4f} bpp, {psnr:.2f} dB, "
        f"{value}{label} {setting.json}"
    )
    if note:
        typer.echo(f"bench: {aim}: {note}; this is the nearest setting", err=True)


def _aim(bpp: float | None, text: str | None) -> Target | None:
    """Return what ``--bpp`` or ``--target`` asks for."""
    from bench.errors import SettingError
    from bench.rate_search import Target

    if text is not None:
        return Target.typed(text)
    if bpp is None:
        return None
    if not (bpp > 0 and math.isfinite(bpp)):
        raise SettingError(f"--bpp must be positive and finite, found {bpp}")
    return Target("bpp", bpp)


def _encode(
    spec: Spec, device: str, pixels: Image, quality: float | None, aim: Target | None
) -> tuple[bytes, str, Setting, str, str]:
    """Return file, codec's label, setting, the target's value, and why it is not hit exactly."""
    import numpy as np

    from bench import image, rate_search, registry
    from bench.errors import CodecFailed

    codec, given = registry.create(spec.name, device), image.frozen(pixels)
    value = note = ""
    if aim is not None:
        found = rate_search.search(codec, given, registry.settings(codec, spec)[0], aim)
        data, setting, note = found.data, found.setting, found.note
        if aim.metric not in ("bpp", "psnr"):
            value = f"{aim.metric} {found.value:.5g}, "
    else:
        points = None if quality is None else [quality]
        settings = registry.settings(codec, spec, quality=points)
        setting = settings[len(settings) // 2]
        data = codec.encode(given, setting)
    if not np.array_equal(given, pixels):
        raise CodecFailed(f"crashed: {spec.name} wrote into the picture that it was given")
    return data, codec.label(setting), setting, value, note


def _ask(name: str, device: str, method: str, data: bytes) -> Any:  # noqa: ANN401 - the method's
    """Return what a codec's method says of the bytes of a file."""
    from bench import registry

    return getattr(registry.create(name, device), method)(data)


def _by_suffix(target: Path) -> str:
    """Return the codec whose files end like ``target``."""
    from bench import registry
    from bench.errors import UsageError
    from bench.registry.command import CommandCodec

    known: dict[str, str] = {}
    programs: dict[str, str] = {}  # that write the same files come last
    for found in registry.in_turn():
        if found.cls is None:
            continue
        if not issubclass(found.cls, CommandCodec):
            if found.cls.suffix == target.suffix:
                return found.name
            known.setdefault(found.cls.suffix, found.name)
        else:
            programs.setdefault(found.cls.suffix, found.name)
    known = programs | known
    if target.suffix not in known:
        raise UsageError(
            f"no codec writes {target.suffix or 'files without a suffix'}",
            f"Name one with --codec, or end the file in {', '.join(sorted(known))}.",
        )
    return known[target.suffix]


def _read(source: Path) -> bytes:
    """Return the bytes of a regular file that is no larger than the largest image as raw samples.

    Anything else is refused: reading a pipe or a device could go on for ever.
    """
    from bench import image
    from bench.errors import UsageError

    try:
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise UsageError(f"cannot read {source}: it is {kind}", "Name a compressed file.")
        if not found.st_size:
            raise UsageError(f"cannot read {source}: it is empty", "Name a compressed file.")
        if found.st_size > 16 * image.max_pixels() + (1 << 20):
            raise UsageError(
                f"cannot read {source}: {found.st_size} bytes are more than 16 for each of "
                f"{image.max_pixels()} pixels",
                "Raise bench --max-megapixels.",
            )
        return source.read_bytes()
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {source}: {reason}", "Check the path.") from error


def _check_target(source: Path, target: Path) -> None:
    """Refuse an output that is the input, or that no file can be put in the place of.

    A regular file is replaced; a device such as /dev/stdout is written to.
    """
    from bench.errors import OutputError
    from bench.files import check_writable

    try:
        if not target.exists():
            check_writable(target)
            return
        mode = target.stat().st_mode
        same = target.samefile(source) if source.exists() else False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {target}: {reason}", "Name another output.") from error
    in_dev = target.is_absolute() and target.parts[1] in ("dev", "proc")
    if same:
        found = "it is the input"
    elif stat.S_ISDIR(mode):
        found = "it is a folder"
    elif not stat.S_ISREG(mode) and not in_dev:
        found = "it is not a regular file"
    else:
        check_writable(target)
        return
    raise OutputError(f"cannot write {target}: {found}; nothing was written", "Name another file.")


def _recognise(data: bytes, word: str | None, device: str, source: Path) -> str:
    """Return the name of the codec ``word``, or of the one that recognises the bytes."""
    from bench import registry
    from bench.errors import CodecError, UsageError

    if word:
        return registry.Spec.typed(word).name
    for found in registry.in_turn():
        with contextlib.suppress(CodecError):
            if found.cls and _apart(found.name, _ask, found.name, device, "recognises", data):
                return found.name
    raise UsageError(
        f"{source} is not a file of any codec that is available here",
        "Name the codec with --codec, or see `bench list` for those that are unavailable.",
    )


def decode(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A compressed file.")],
    target: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The image to write: PNG, PPM, BMP or TIFF.")
    ],
    codec: CodecOfFile = None,
    device: Device = "cpu",
) -> None:
    """Decompress one file, from its bytes alone."""
    from bench import image, registry

    _check_target(source, target)
    image.check_suffix(target)
    data = _read(source)
    registry.check_device(device)
    name = _recognise(data, codec, device, source)
    bits = _apart(name, _ask, name, device, "sample_bits", data)
    _check_depth(bits, name, codec or "", source)
    pixels = _apart(name, _ask, name, device, "decode", data)
    image.save(pixels, target)
    typer.echo(f"{target}: {pixels.shape[1]}x{pixels.shape[0]}, by {name}")


def _check_depth(bits: int, name: str, word: str, source: Path) -> None:
    """Refuse samples that 8-bit RGB cuts, unless ``--codec NAME:depth=BITS`` asks for that."""
    from bench.errors import DecodeError
    from bench.registry import Spec

    if bits > 8 and str(Spec.typed(word).options.get("depth")) != str(bits):
        raise DecodeError(
            f"{source} is deeper than 8 bits: {name} codes {bits} bits a sample",
            f"To have it rounded to 8-bit RGB: --codec {name}:depth={bits}",
        )


def info(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A compressed file.")],
    codec: CodecOfFile = None,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts", help="Decode the file where only that tells what its bytes are spent on."
        ),
    ] = False,
) -> None:
    """Show what the header of a compressed file says, and what its bytes are spent on."""
    from bench import registry

    data = _read(source)
    name = _recognise(data, codec, "cpu", source)
    codec_of = registry.find(name)
    found = codec_of.cls if codec_of else None
    slow = found is not None and found.ledger_decodes and not parts
    facts = _apart(name, _ask, name, "cpu", "facts", data)
    sizes = {} if slow else _apart(name, _ask, name, "cpu", "ledger", data)
    typer.echo(f"{source}: {name}, {len(data)} bytes")
    for word, value in facts.items():
        typer.echo(f"  {word:<16} {value}")
    for word, size in sizes.items():
        typer.echo(f"  {word:<16} {size:>10} bytes  {size / max(1, len(data)):7.2%}")
    if slow:
        typer.echo("  bench info --parts decodes the file and shows what its bytes are spent on")


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            autocompletion=completion.fetchable,
            help="Datasets, metrics (lpips-alex) or codecs whose files to download.",
        ),
    ],
    data_dir: DataDir = None,
) -> None:
    """Download and verify datasets and weights that are missing here."""
    from bench.cli.working import Working
    from bench.dataset import fetch as fetching

    for name in names:
        with Working(name) as work:
            report = fetching.fetch_any(name, data_dir, progress=work.update)
        typer.echo(report)
