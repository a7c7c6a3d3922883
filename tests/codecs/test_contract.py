"""The contract that every codec keeps, over every codec that discovery finds."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import metrics, registry
from bench.codec import FASTEST, Codec, Setting
from bench.errors import SettingError, Unavailable
from bench.image import Image
from bench.registry.command import CommandCodec

CORE = ("avif", "bpg", "jpeg", "jpeg2000", "null", "webp")
IMAGES = ("1x1", "1x7", "13x8", "161x163", "gray", "noise", "photo")
SLOW = ("agvae", "compressai")
TIMEOUT_S = 120


def _sort_out() -> tuple[dict[str, Codec], dict[str, str]]:
    """Return the codecs that can run here, and the reasons of those that cannot.

    Command lines start a program for every picture; test_command_codecs.py has their tests.
    """
    codecs, reasons = {}, {}
    for name, item in sorted(registry.discover().items()):
        if item.cls is not None and issubclass(item.cls, CommandCodec):
            continue
        try:
            codecs[name] = registry.create(name)
        except Unavailable as error:
            reasons[name] = str(error)
    return codecs, reasons


CODECS, UNAVAILABLE = _sort_out()


@pytest.fixture(params=CODECS)
def codec(request) -> Codec:
    """Every codec in turn that can run here."""
    return CODECS[request.param]


@pytest.fixture(scope="module")
def images(photo: Image) -> dict[str, Image]:
    """The pictures that codecs get wrong first."""
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


def _rungs(codec: Codec) -> list[Setting]:
    """Return the ladder, complete; three rungs, little refined, of a codec that takes seconds."""
    quick = {"refine": 3} if "refine" in registry.parameters(codec) else {}
    ladder = [registry.complete(codec, rung.replace(**quick)) for rung in codec.ladder()]
    if codec.name.startswith(SLOW) and len(ladder) > 3:
        return [ladder[0], ladder[len(ladder) // 2], ladder[-1]]
    return ladder


@functools.cache
def _encode(codec: Codec, pixels: bytes, shape: tuple[int, ...], setting: Setting) -> bytes:
    return codec.encode(np.frombuffer(pixels, np.uint8).reshape(shape).copy(), setting)


def _encoded(codec: Codec, image: Image, setting: Setting) -> bytes:
    """Return the file, encoded once however many tests ask for it."""
    return _encode(codec, image.tobytes(), image.shape, setting)


def _middle(codec: Codec) -> Setting:
    rungs = _rungs(codec)
    return rungs[len(rungs) // 2]


def _run_fresh(action: str, codec: Codec, folder: Path) -> Any:
    script = Path(__file__).with_name("fresh.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, action, codec.name, folder],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted({*CORE, *CODECS, *UNAVAILABLE}))
def test_codec_is_available(name: str):
    """What the core dependencies bring runs; any other codec runs or says why it cannot."""
    if name in UNAVAILABLE and name not in CORE:
        assert len(UNAVAILABLE[name]) > len(name)
        pytest.skip(UNAVAILABLE[name])

    assert name in CODECS


@pytest.mark.parametrize("kind", IMAGES)
def test_shape_and_dtype_survive(codec: Codec, images: dict[str, Image], kind: str):
    """Any picture comes back as writable uint8 of its own shape, and the source is untouched."""
    image = images[kind].copy()
    decoded = codec.decode(codec.encode(image, _middle(codec)))

    assert image.shape == decoded.shape
    assert np.uint8 == decoded.dtype
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    assert images[kind].tobytes() == image.tobytes()


@pytest.mark.parametrize("kind", ["13x8", "161x163", "noise"])
def test_encoding_is_deterministic(codec: Codec, images: dict[str, Image], kind: str):
    """The same picture and setting give the same bytes, also in another order and instance."""
    again = registry.create(codec.name)
    for setting in (_rungs(codec)[-1], _rungs(codec)[0]):
        assert _encoded(codec, images[kind], setting) == again.encode(images[kind], setting)


def test_fresh_process_decodes_the_same(codec: Codec, images: dict[str, Image], tmp_path: Path):
    """A process that saw neither picture nor encoder decodes the files to the same pixels.

    A codec with floating-point synthesis may be one step off, in one sample of a thousand.
    """
    expected = {}
    for kind, image in images.items():
        data = _encoded(codec, image, _middle(codec))
        (tmp_path / kind).write_bytes(data)
        expected[kind] = codec.decode(data)

    assert sorted(images) == _run_fresh("decode", codec, tmp_path)

    for kind, here in expected.items():
        there = np.load(tmp_path / f"{kind}.npy")
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        difference = np.abs(here.astype(int) - there)
        assert difference.max() <= codec.pixel_tolerance, kind
        assert np.count_nonzero(difference) <= max(1, here.size / 1000), kind


def test_damage_is_told_and_bounded(codec: Codec, images: dict[str, Image], tmp_path: Path):
    """Damaged bytes give DecodeError or a picture: no crash, no hang, no huge allocation."""
    for kind in ("1x1", "13x8", "161x163"):
        (tmp_path / kind).write_bytes(_encoded(codec, images[kind], _rungs(codec)[0]))
    outcomes = _run_fresh("damage", codec, tmp_path)
    refused = {what for what, outcome in outcomes.items() if outcome == "DecodeError"}

    assert {} == {k: v for k, v in outcomes.items() if v not in ("DecodeError", "image")}
    assert {what for what in outcomes if what.endswith((": half", ": text", ": zeros"))} <= refused


def test_higher_rung_never_loses_twice(codec: Codec, photo: Image):
    """No rung gives a smaller file and a lower PSNR than the rung below it."""
    psnr = metrics.create("psnr")
    reference = psnr.prepare(photo)
    points = []
    for setting in _rungs(codec):
        data = _encoded(codec, photo, setting)
        points.append((len(data), psnr.score(reference, codec.decode(data))))

    for below, above in itertools.pairwise(points):
        assert above[0] >= below[0] or above[1] >= below[1]
    assert len(points) == 1 or points[0][0] < points[-1][0]


def test_ladder_is_legal_and_distinct(codec: Codec):
    """Every rung is a complete, legal setting that survives JSON, and no two are equal."""
    rungs = [registry.complete(codec, rung) for rung in codec.ladder()]

    assert rungs
    assert rungs == [Setting.from_json(rung.json) for rung in rungs]
    assert len(rungs) == len(set(rungs))
    assert len(rungs) == 1 or registry.rate_name(codec)


def test_ladder_spans_the_rates(codec: Codec, kodim: Callable[[int], Image]):
    """On a Kodak image the ladder begins under 0.35 bpp and ends between 1 and 4 bpp."""
    if codec.name == "null":
        pytest.skip("raw pixels have one rate")
    if codec.name.startswith("agvae-small"):
        pytest.skip("the ablation's networks are compared with each other, at whatever rates")
    image = kodim(22)
    pixels = image.shape[0] * image.shape[1]
    lowest, highest = (
        8 * len(codec.encode(image, _rungs(codec)[rung])) / pixels for rung in (0, -1)
    )

    assert lowest < 0.35
    assert 1 < highest < 4


def test_files_carry_no_metadata(codec: Codec, images: dict[str, Image]):
    """No colour profile, EXIF block or XMP packet is in the file."""
    data = _encoded(codec, images["161x163"], _middle(codec))
    for mark in (
        b"ICC_PROFILE",
        b"ICCP",
        b"acsp",
        b"Exif\x00",
        b"EXIF",
        b"<x:xmpmeta",
        b"<?xpacket",
    ):
        assert mark not in data


def test_label_states_the_version(codec: Codec):
    """A label begins with the codec's short name and ends with the encoder's version."""
    label = codec.label(_middle(codec))

    assert label.startswith(f"{codec.display} ")
    assert label.endswith(f"({codec.version()})")
    assert any(character.isdigit() for character in codec.version())


EFFORTS = {"avif": "speed", "bpg": "level", "jpeg": "progressive", "jxl": "effort"} | {
    "webp": "method",
    "agvae-refined": "refine",
    "agvae-ms-ssim-refined": "refine",
}


def test_label_states_the_effort(codec: Codec):
    """At the default too, and a curve at another effort is labelled otherwise."""
    setting = registry.complete(codec, _middle(codec))
    said = codec.effort(setting)
    rate = registry.rate_name(codec)

    assert bool(said) == (codec.name in EFFORTS)
    assert f", {said} (" in codec.label(setting) or not said
    for parameter in registry.parameters(codec).values():
        bounds = [end for end in (parameter.low, parameter.high) if end is not None]
        for value in (*bounds, *parameter.choices, True):
            with contextlib.suppress(SettingError):
                other = setting.replace(**{parameter.name: parameter.check(value)})
                moved = codec.label(setting) != codec.label(other)
                assert moved == (parameter.name != rate and setting != other), other


@pytest.mark.parametrize("kind", ["1x1", "13x8", "photo"])
def test_ceiling_bounds_the_conversion(codec: Codec, images: dict[str, Image], kind: str):
    """The colour conversion alone keeps the shape, and a photograph above 25 dB."""
    image = images[kind]
    ceiling = codec.ceiling(image, _middle(codec))

    assert image.shape == ceiling.shape
    assert np.uint8 == ceiling.dtype
    assert kind != "photo" or metrics.create("psnr")(image, ceiling) >= 25


def test_what_a_network_says_of_itself(codec: Codec):
    """A learned codec has a precision and the hash of its weights; no other codec has."""
    chosen = {codec.choose_precision(wanted) for wanted in ("", FASTEST, *codec.precisions)}

    assert codec.learned == bool(codec.precisions)
    assert codec.learned == codec.name.startswith(SLOW)
    assert chosen <= set(codec.precisions or ("",))
    assert codec.learned == bool(codec.weights_sha256)


def test_batches_are_the_files_and_images_one_by_one(codec: Codec, images: dict[str, Image]):
    """In order, and of any sizes together."""
    setting = _middle(codec)
    pictures = [images[kind] for kind in ("13x8", "1x7", "13x8")]
    files = codec.encode_batch(pictures, [setting] * 3)
    decoded = codec.decode_batch(files)

    assert [_encoded(codec, picture, setting) for picture in pictures] == files
    assert [picture.shape for picture in pictures] == [image.shape for image in decoded]
    assert np.array_equal(decoded[0], decoded[2])


@pytest.mark.parametrize("kind", ["1x1", "13x8", "noise", "photo"])
def test_ledger_sums_to_the_file(codec: Codec, images: dict[str, Image], kind: str):
    """The parts of a file are whole numbers of bytes that sum to its size."""
    data = _encoded(codec, images[kind], _middle(codec))
    parts = codec.ledger(data)

    assert len(data) == sum(parts.values())
    assert all(isinstance(size, int) and size >= 0 for size in parts.values())


def test_only_its_own_codec_recognises_a_file(codec: Codec, images: dict[str, Image]):
    """A file is recognised by the codec that wrote it and by no other, but for its own kind."""
    data = _encoded(codec, images["13x8"], _middle(codec))
    found = {name: other for name, other in CODECS.items() if other.recognises(data)}

    assert (codec.name != "null") == (codec.name in found)
    # AG-VAE's variants write one format, which says whose weights it needs.
    assert {other.suffix for other in found.values()} <= {codec.suffix}
    assert len(found) < 2 or codec.name.startswith("agvae")
