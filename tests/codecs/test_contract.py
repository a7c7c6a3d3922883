"""The contract that every codec keeps, over every codec that discovery finds."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.codec import Codec, Setting
from bench.errors import CodecFailed, DecodeError, EncodeError, Unavailable
from bench.image import Image
from bench.measurement import contract, contract_child
from bench.measurement.contract import CHECKS, Broken, encoded, middle, rungs
from bench.registry.command import CommandCodec

CORE = ("avif", "bpg", "jpeg", "jpeg2000", "null", "webp")
EFFORTS = {"avif": "speed", "bpg": "level", "jpeg": "progressive", "jxl": "effort"} | {
    "heic": "preset",
    "jpegli": "always the same",
    "webp": "method",
    "agvae-refined": "refine",
    "agvae-ms-ssim-refined": "refine",
}


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


# Variants of AG-VAE share its code; the small one is checked at every change. HEIC is optional,
# and what it promises of small pictures is in test_heic.py.
SLOW = [
    name
    for name in CODECS
    if (name.startswith("agvae") and name != "agvae-small") or name == "heic"
]


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CODECS]
)
def codec(request) -> Codec:
    """Every codec in turn that can run here."""
    return CODECS[request.param]


@pytest.fixture(scope="module")
def images(photo: Image) -> dict[str, Image]:
    """The pictures that codecs get wrong first."""
    return contract.pictures(photo)


@pytest.mark.parametrize("name", sorted({*CORE, *CODECS, *UNAVAILABLE}))
def test_codec_is_available(name: str):
    """What the core dependencies bring runs; any other codec runs or says why it cannot."""
    if name in UNAVAILABLE and name not in CORE:
        assert len(UNAVAILABLE[name]) > len(name)
        pytest.skip(UNAVAILABLE[name])

    assert name in CODECS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(
    codec: Codec,
    images: dict[str, Image],
    check: Callable,
    run_bench: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    """Every check of ``bench test-codec`` passes; of JPEG in interpreters of their own."""

    def forked(words: Sequence[str], *, env: Mapping[str, str], **_: object):
        at = words.index("-m")
        code = f"import runpy; runpy.run_module({words[at + 1]!r}, run_name='__main__')"
        return run_bench.python(code, *words[at + 2 :], env=env)

    if codec.name != "jpeg":
        monkeypatch.setattr(contract, "subprocess", SimpleNamespace(run=forked))
    check(codec, images)


def test_decoded_pictures_are_writable(codec: Codec, images: dict[str, Image]):
    """What ``decode`` returns is the caller's."""
    assert codec.decode(encoded(codec, images["13x8"], middle(codec))).flags.writeable


def test_ladder_spans_the_rates(codec: Codec, kodim: Callable[[int], Image]):
    """On a Kodak image the ladder begins under 0.35 bpp and ends between 1 and 4 bpp."""
    if codec.name == "null":
        pytest.skip("raw pixels have one rate")
    if codec.name.startswith("agvae-small"):
        pytest.skip("the ablation's networks are compared with each other, at whatever rates")
    image = kodim(22)
    pixels = image.shape[0] * image.shape[1]
    lowest, highest = (
        8 * len(codec.encode(image, rungs(codec)[rung])) / pixels for rung in (0, -1)
    )

    assert lowest < 0.35
    assert 1 < highest < 4


def test_label_begins_with_the_short_name(codec: Codec):
    """And ends with the encoder's version."""
    label = codec.label(middle(codec))

    assert label.startswith(f"{codec.display} ")
    assert label.endswith(f"({codec.version()})")


def test_label_states_the_effort(codec: Codec):
    """At the default too."""
    setting = registry.complete(codec, middle(codec))
    said = codec.effort(setting)

    assert bool(said) == (codec.name in EFFORTS)
    assert f", {said} (" in codec.label(setting) or not said


def test_networks_are_those_that_learnt(codec: Codec):
    """AG-VAE and the zoo, and no other."""
    assert codec.learned == codec.name.startswith(("agvae", "compressai"))


def test_only_its_own_codec_recognises_a_file(codec: Codec, images: dict[str, Image]):
    """A file is recognised by the codec that wrote it and by no other, but for its own kind."""
    data = encoded(codec, images["13x8"], middle(codec))
    found = {name: other for name, other in CODECS.items() if other.recognises(data)}

    assert (codec.name not in ("null", "jpegli")) == (codec.name in found)
    # AG-VAE's variants write one format, which says whose weights it needs.
    assert {other.suffix for other in found.values()} <= {codec.suffix}
    assert len(found) < 2 or codec.name.startswith("agvae")


class Halver(Codec):
    """A sound codec; each subclass breaks one promise."""

    name = "halver"
    parameters = ()

    def ladder(self):
        return [Setting(step=step) for step in (64, 32, 16, 8)]

    def version(self):
        return "halver 1"

    def encode(self, image, setting):
        height, width = image.shape[:2]
        head = bytes([setting["step"]]) + height.to_bytes(4) + width.to_bytes(4)
        return head + zlib.compress((image // setting["step"]).tobytes())

    def decode(self, data):
        try:
            step, height, width = data[0], int.from_bytes(data[1:5]), int.from_bytes(data[5:9])
            cells = np.frombuffer(zlib.decompress(data[9:]), np.uint8)
            return cells.reshape(height, width, 3) * step + step // 2
        except (IndexError, ValueError, zlib.error) as error:
            raise DecodeError(str(error)) from error


class Writes(Halver):
    def encode(self, image, setting):
        data = super().encode(image, setting)
        image[:] = 0
        return data


class Turns(Halver):
    def decode(self, data):
        return np.ascontiguousarray(super().decode(data).transpose(1, 0, 2))


class Counts(Halver):
    calls = 0

    def encode(self, image, setting):
        Counts.calls += 1
        return super().encode(image, setting) + bytes([Counts.calls % 256])


class Repeats(Halver):
    def ladder(self):
        return [Setting(step=8), Setting(step=8)]


class Falls(Halver):
    def ladder(self):
        return super().ladder()[::-1]


class Hides(Halver):
    def label(self, setting):  # noqa: ARG002
        return "halver"


class Darkens(Halver):
    def ceiling(self, image, setting):  # noqa: ARG002
        return image // 4


class Claims(Halver):
    learned = True


class Shuffles(Halver):
    def encode_batch(self, images, settings, phases=None):
        return super().encode_batch(images, settings, phases)[::-1]


class Miscounts(Halver):
    def ledger(self, data):
        return {"file": len(data) - 1}


class Accepts(Halver):
    def recognises(self, data):  # noqa: ARG002
        return True


class Forgets(Halver):
    def recognises(self, data):  # noqa: ARG002
        return False


class Profiles(Halver):
    def encode(self, image, setting):
        return super().encode(image, setting) + b"ICC_PROFILE"


BREAKS: Mapping[type[Halver], tuple[Callable, str]] = {
    Writes: (contract.keeps_shape, "encode wrote into its source"),
    Turns: (contract.keeps_shape, "1x7: wanted"),
    Counts: (contract.is_deterministic, "gives another file"),
    Repeats: (contract.ladder_is_legal, "two rungs are equal"),
    Falls: (contract.no_rung_loses_twice, "fewer bytes and a lower PSNR"),
    Hides: (contract.label_says_version_and_options, "lacks the version"),
    Darkens: (contract.ceiling_is_a_picture, "no conversion"),
    Claims: (contract.network_says_what_it_is, "all three or none"),
    Shuffles: (contract.batches_are_one_by_one, "other files than encode"),
    Miscounts: (contract.ledger_sums_to_the_file, "bytes"),
    Accepts: (contract.recognises_its_own, "accepts any text"),
    Forgets: (contract.recognises_its_own, "does not know the codec's own file"),
    Profiles: (contract.files_carry_no_metadata, "metadata"),
}


@pytest.mark.parametrize("cls", BREAKS, ids=lambda cls: cls.__name__)
def test_checks_find_a_codec_that_breaks_them(
    cls: type[Halver], images: dict[str, Image], monkeypatch: pytest.MonkeyPatch
):
    """Each check fails for a codec that breaks its promise, and for no sound one."""
    check, words = BREAKS[cls]
    monkeypatch.setattr(registry, "create", lambda _: cls())
    with pytest.raises(Broken, match=words):
        check(cls(), images)
    monkeypatch.setattr(registry, "create", lambda _: Halver())
    check(Halver(), images)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (struct.error("no head"), r"crashed: error: no head \(\S*test_contract.py:\d+\)"),
        (
            CodecFailed("crashed: error: no head (own.py:3)"),
            r"crashed: error: no head \(own.py:3\)",
        ),
        (
            EncodeError("no decoder"),
            r"refused: EncodeError: no decoder \(\S*test_contract.py:\d+\)",
        ),
        (DecodeError("damaged"), "DecodeError"),
    ],
    ids=("any", "guarded", "on_purpose", "damaged"),
)
def test_what_a_damaged_file_came_to_is_said_once(raised: BaseException, words: str):
    """A guarded codec's failure has its kind already; the class that carries it is not said."""

    class Raises(Halver):
        def decode(self, data):  # noqa: ARG002
            raise raised

    assert re.fullmatch(words, contract_child.outcome(Raises(), b""))


CRASHES = """
from bench.codec import Codec, Setting
import os
class {name}(Codec):
    name = "{name}"
    def ladder(self): return [Setting(step=1)]
    def version(self): return "1"
    def encode(self, image, setting): {body}
    def decode(self, data): raise ValueError("no")
"""


@pytest.mark.parametrize(
    ("body", "words"), [("os.kill(os.getpid(), 9)", "died"), ("return bytes(9)", "ValueError: no")]
)
def test_a_codec_that_dies_fails_its_checks(tmp_path, monkeypatch, body: str, words: str):
    """A crash is a verdict of the check that met it, and ends nothing."""
    monkeypatch.delenv("BENCH_CODEC_FILES", raising=False)
    (tmp_path / "crash.py").write_text(CRASHES.format(name="crash", body=body))
    monkeypatch.setattr(contract, "CHECKS", (contract.ladder_is_legal, contract.keeps_shape))
    monkeypatch.setenv("BENCH_CODEC_FILES", "{}")
    try:
        name = registry.Spec.typed(f"{tmp_path}/crash.py").name
        sound, shape = contract.run(name)
    finally:
        registry.discover.cache_clear()

    assert not sound.fault
    assert words in shape.fault


def test_a_codec_that_is_unavailable_is_an_error():
    """A codec that was named is never passed over in silence."""
    with pytest.raises((Unavailable, CodecFailed)):
        next(contract.run(next(iter(UNAVAILABLE), "agvae@gone")))
