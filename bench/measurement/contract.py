"""The contract that every codec keeps, as checks: ``bench test-codec`` and the tests run them.

Each check is a function of a codec and some pictures. It returns, or raises ``Broken`` with what
was wanted and what was found.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import metrics, registry
from bench.codec import FASTEST, Codec, Setting
from bench.errors import BenchError, SettingError, UsageError, failure, one_line
from bench.image import Image
from bench.measurement.pool import LocalPool

TIMEOUT_S = 300.0
"""What one check may take."""

_MARKS = (b"ICC_PROFILE", b"ICCP", b"acsp", b"Exif\x00", b"EXIF", b"<x:xmpmeta", b"<?xpacket")
_FEWEST_DB = 25.0
_QUICK = {"refine": 3}
"""Values of parameters that only cost time, by name."""


class Broken(BenchError):  # noqa: N818 - a verdict on a codec
    """A codec does not keep the contract; says what was wanted and what was found."""


def expect(condition: object, words: str) -> None:
    """Return if ``condition`` holds.

    Raises
    ------
    Broken
        With ``words``, if it does not.
    """
    if not condition:
        raise Broken(words)


def pictures(photo: Image) -> dict[str, Image]:
    """Return the pictures that codecs get wrong first, from a photograph of 300x450 or more."""
    rng = np.random.default_rng(3)
    luma = photo[100:164, 100:196].mean(axis=2, keepdims=True).round().astype(np.uint8)
    return {
        "1x1": photo[50:51, 60:61].copy(),
        "1x7": photo[50:51, 60:67].copy(),
        "13x8": photo[50:63, 60:68].copy(),
        "161x163": photo[100:261, 150:313].copy(),
        "gray": np.repeat(luma, 3, axis=2),
        "noise": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "photo": photo,
    }


def rungs(codec: Codec) -> list[Setting]:
    """Return the complete ladder; three rungs of a network, whose parameters of time are small."""
    known = registry.parameters(codec)
    quick = {name: value for name, value in _QUICK.items() if name in known}
    found = [registry.complete(codec, rung.replace(**quick)) for rung in codec.ladder()]
    if codec.learned and len(found) > 3:
        return [found[0], found[len(found) // 2], found[-1]]
    return found


def middle(codec: Codec) -> Setting:
    """Return the middle rung of the ladder."""
    found = rungs(codec)
    return found[len(found) // 2]


@functools.lru_cache(64)
def _encode(codec: Codec, pixels: bytes, shape: tuple[int, ...], setting: Setting) -> bytes:
    return codec.encode(np.frombuffer(pixels, np.uint8).reshape(shape).copy(), setting)


def encoded(codec: Codec, picture: Image, setting: Setting) -> bytes:
    """Return the file, encoded once however many checks ask for it."""
    return _encode(codec, picture.tobytes(), picture.shape, setting)


def keeps_shape(codec: Codec, images: Mapping[str, Image]) -> None:
    """Any picture comes back as uint8 of its own shape, and the source is untouched."""
    for kind, picture in images.items():
        given = picture.copy()
        decoded = codec.decode(codec.encode(given, middle(codec)))
        expect(
            (picture.shape, picture.dtype) == (decoded.shape, decoded.dtype),
            f"{kind}: wanted {picture.shape} of uint8, found {decoded.shape} of {decoded.dtype}",
        )
        expect(np.array_equal(given, picture), f"{kind}: encode wrote into its source")
        expect(decoded.flags.c_contiguous, f"{kind}: decode's array is not contiguous")


def is_deterministic(codec: Codec, images: Mapping[str, Image]) -> None:
    """The same picture and setting give the same bytes, also in another order and object."""
    again = registry.create(codec.name)
    for kind in ("13x8", "161x163", "noise"):
        for setting in (rungs(codec)[-1], rungs(codec)[0]):
            expect(
                encoded(codec, images[kind], setting) == again.encode(images[kind], setting),
                f"{kind} at {setting.json}: another object of the codec gives another file",
            )


def fresh_process_decodes_the_same(codec: Codec, images: Mapping[str, Image]) -> None:
    """A process that saw neither picture nor encoder decodes the files to the same pixels.

    A codec with floating-point synthesis may be ``pixel_tolerance`` off in one sample of a
    thousand.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for kind, picture in images.items():
            (folder / kind).write_bytes(encoded(codec, picture, middle(codec)))
        _in_fresh_process("decode", codec, folder)
        for kind, picture in images.items():
            here = codec.decode(encoded(codec, picture, middle(codec)))
            there = np.load(folder / f"{kind}.npy")
            expect(here.shape == there.shape, f"{kind}: {here.shape} here, {there.shape} there")
            off = np.abs(here.astype(int) - there)
            expect(
                off.max() <= codec.pixel_tolerance
                and np.count_nonzero(off) <= max(1, here.size / 1000),
                f"{kind}: a fresh process decodes other pixels: {np.count_nonzero(off)} of "
                f"{here.size} samples differ, by up to {off.max()}",
            )


def damage_is_refused(codec: Codec, images: Mapping[str, Image]) -> None:
    """Damaged bytes give DecodeError or a picture: no crash, no hang, no huge allocation."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for kind in ("1x1", "13x8", "161x163"):
            (folder / kind).write_bytes(encoded(codec, images[kind], rungs(codec)[0]))
        outcomes: dict[str, str] = _in_fresh_process("damage", codec, folder)
    wrong = {k: v for k, v in outcomes.items() if v not in ("DecodeError", "image")}
    expect(
        not wrong,
        f"{len(wrong)} of {len(outcomes)} damaged files raise another error than DecodeError: "
        + "; ".join(f"{k}: {v}" for k, v in itertools.islice(wrong.items(), 3)),
    )
    believed = [
        what
        for what, outcome in outcomes.items()
        if what.endswith((": half", ": text", ": zeros")) and outcome != "DecodeError"
    ]
    expect(not believed, f"no error for a file that is cut or foreign: {', '.join(believed)}")


def no_rung_loses_twice(codec: Codec, images: Mapping[str, Image]) -> None:
    """No rung gives a smaller file and a lower PSNR than the rung below it."""
    psnr = metrics.create("psnr")
    reference = psnr.prepare(images["photo"])
    points = []
    for setting in rungs(codec):
        data = encoded(codec, images["photo"], setting)
        points.append((len(data), psnr.score(reference, codec.decode(data)), setting.json))
    for below, above in itertools.pairwise(points):
        expect(
            above[0] >= below[0] or above[1] >= below[1],
            f"{above[2]} gives fewer bytes and a lower PSNR than {below[2]}, which is below it",
        )
    expect(len(points) == 1 or points[0][0] < points[-1][0], "the last rung is not the largest")


def ladder_is_legal(codec: Codec, images: Mapping[str, Image]) -> None:  # noqa: ARG001
    """Every rung is a complete, legal setting that survives JSON, and no two are equal."""
    found = [registry.complete(codec, rung) for rung in codec.ladder()]
    expect(found == [Setting.from_json(rung.json) for rung in found], "a rung is no plain data")
    expect(len(found) == len(set(found)), "two rungs are equal")
    expect(len(found) == 1 or registry.rate_name(codec), "no single parameter moves: say `rate`")


def files_carry_no_metadata(codec: Codec, images: Mapping[str, Image]) -> None:
    """No colour profile, EXIF block or XMP packet is in a file."""
    data = encoded(codec, images["161x163"], middle(codec))
    expect(not [mark for mark in _MARKS if mark in data], "a file carries metadata")


def label_says_version_and_options(codec: Codec, images: Mapping[str, Image]) -> None:  # noqa: ARG001
    """The label has the version; every option but the rate changes it."""
    setting = registry.complete(codec, middle(codec))
    label, version = codec.label(setting), codec.version()
    expect(version in label, f"the label {label!r} lacks the version {version!r}")
    expect(any(c.isdigit() for c in version), f"the version {version!r} has no number")
    for name, other in _moved(codec, setting):
        expect(
            (codec.label(other) != label) == (name != registry.rate_name(codec)),
            f"the label of a curve with another {name} is the same: add it to describe() or "
            f"effort()"
            if name != registry.rate_name(codec)
            else f"the label changes with the rate parameter {name}",
        )


def _moved(codec: Codec, setting: Setting) -> Iterator[tuple[str, Setting]]:
    """Yield settings that differ in one parameter, at each end or choice of it."""
    for parameter in registry.parameters(codec).values():
        ends = [end for end in (parameter.low, parameter.high) if end is not None]
        for value in (*ends, *parameter.choices, True):
            try:
                other = setting.replace(**{parameter.name: parameter.check(value)})
            except SettingError:
                continue
            if other != setting:
                yield parameter.name, other


def ceiling_is_a_picture(codec: Codec, images: Mapping[str, Image]) -> None:
    """The colour conversion alone, where it is known, keeps shape and a photograph above 25 dB."""
    for kind in ("1x1", "13x8", "photo"):
        ceiling = codec.ceiling(images[kind], middle(codec))
        if ceiling is None:
            continue
        expect(
            images[kind].shape == ceiling.shape and ceiling.dtype == np.uint8,
            f"ceiling() of {kind} is {ceiling.dtype} of {ceiling.shape}",
        )
        found = metrics.create("psnr")(images[kind], ceiling)
        expect(
            kind != "photo" or found >= _FEWEST_DB,
            f"ceiling() of the photograph has {found:.1f} dB: no conversion",
        )


def network_says_what_it_is(codec: Codec, images: Mapping[str, Image]) -> None:  # noqa: ARG001
    """A learned codec has a precision and the hash of its weights; no other codec has."""
    chosen = {codec.choose_precision(wanted) for wanted in ("", FASTEST, *codec.precisions)}
    expect(
        codec.learned == bool(codec.precisions) == bool(codec.weights_sha256),
        f"learned is {codec.learned}, precisions are {codec.precisions}, weights_sha256 is "
        f"{codec.weights_sha256!r}: all three or none",
    )
    expect(chosen <= set(codec.precisions or ("",)), f"choose_precision() gives {chosen}")


def batches_are_one_by_one(codec: Codec, images: Mapping[str, Image]) -> None:
    """Batch functions give the files and pictures of single calls, in order, of any sizes."""
    setting = middle(codec)
    chosen = [images[kind] for kind in ("13x8", "1x7", "13x8", "1x1")]
    files = codec.encode_batch(chosen, [setting] * len(chosen))
    expect(
        files == [encoded(codec, picture, setting) for picture in chosen],
        "encode_batch() gives other files than encode()",
    )
    decoded = codec.decode_batch(files)
    expect(
        [picture.shape for picture in chosen] == [picture.shape for picture in decoded]
        and np.array_equal(decoded[0], decoded[2]),
        "decode_batch() gives other pictures than decode()",
    )


def ledger_sums_to_the_file(codec: Codec, images: Mapping[str, Image]) -> None:
    """The parts of a file are whole numbers of bytes that sum to its size."""
    for kind in ("1x1", "13x8", "noise", "photo"):
        data = encoded(codec, images[kind], middle(codec))
        parts = codec.ledger(data)
        expect(
            all(isinstance(size, int) and size >= 0 for size in parts.values())
            and sum(parts.values()) == len(data),
            f"ledger() of {kind} gives {parts} for {len(data)} bytes",
        )


def recognises_its_own(codec: Codec, images: Mapping[str, Image]) -> None:
    """A codec that recognises files knows its own, and no text; it need not recognise any."""
    data = encoded(codec, images["13x8"], middle(codec))
    if codec.recognises(data):
        expect(not codec.recognises(b"no image at all"), "recognises() accepts any text")
    else:
        overridden = type(codec).recognises is not Codec.recognises
        command = type(codec).__module__ == "bench.registry.command"
        expect(not overridden or command, "recognises() does not know the codec's own file")


CHECKS: tuple[Callable[[Codec, Mapping[str, Image]], None], ...] = (
    ladder_is_legal,
    keeps_shape,
    is_deterministic,
    fresh_process_decodes_the_same,
    damage_is_refused,
    no_rung_loses_twice,
    files_carry_no_metadata,
    label_says_version_and_options,
    ceiling_is_a_picture,
    network_says_what_it_is,
    batches_are_one_by_one,
    ledger_sums_to_the_file,
    recognises_its_own,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Attributes
    ----------
    check
        Its name.
    promise
        What it checks, one sentence.
    fault
        What was wrong; empty: nothing.
    """

    check: str
    promise: str
    fault: str


def run(name: str) -> Iterator[Verdict]:
    """Check a codec that can run here, in a process of its own, and yield each verdict.

    Parameters
    ----------
    name
        As ``registry.create`` takes it.

    Raises
    ------
    Unavailable
        If it cannot run here: a codec that was named is not passed over.
    """
    registry.create(name)
    with LocalPool(1, TIMEOUT_S) as pool:
        for check in CHECKS:
            promise = " ".join((check.__doc__ or "").split()).partition(". ")[0].rstrip(".")
            try:
                fault = pool.submit(_fault, name, check.__name__).result()
            except Exception as error:  # noqa: BLE001 - the process died, took too long, ...
                fault = failure(error)
            yield Verdict(check.__name__.replace("_", " "), promise, fault)


def _fault(name: str, check: str) -> str:
    """Return what is wrong by one check, in the process that runs the codec."""
    codec, images = _of_process(name)
    try:
        globals()[check](codec, images)
    except Broken as error:
        return one_line(error)
    return ""


@functools.cache
def _of_process(name: str) -> tuple[Codec, dict[str, Image]]:
    from bench.dataset.open import at_hand, load_item

    for item in at_hand("sample").items:
        photo = load_item(item)
        if item.name == "chelsea":
            return registry.create(name), pictures(photo)
    raise UsageError("the dataset sample is not installed", "Install scikit-image again.")


def _in_fresh_process(action: str, codec: Codec, folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Return what ``contract_child`` says of the files of a folder."""
    words = ["-W", "ignore", "-m", "bench.measurement.contract_child", action, codec.name]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, *words, str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    expect(
        done.returncode == 0,
        f"the process that decodes ended with {done.returncode}: {one_line(done.stderr[-600:])}",
    )
    return json.loads(done.stdout.splitlines()[-1])
