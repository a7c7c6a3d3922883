"""AVIF by pillow-avif-plugin (libavif, libaom): 4:4:4 or 4:2:0, 8 bits, one thread."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as PILImage
from pillow_avif import AvifImagePlugin, _avif

from bench.codec import Codec, Parameter, Setting
from bench.codecs import _av1
from bench.codecs._pillow import (
    DAMAGED,
    boxes,
    check_depth,
    check_size,
    decode_pillow,
    encode_pillow,
    format_and_tuning,
    item_properties,
    lossless_of_parts,
)
from bench.errors import DecodeError, Unavailable
from bench.image import Image

_ENCODER = "aom"
# One thread for decoding, and bilinear chroma, which `auto` means only where libyuv is built in.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
AvifImagePlugin.CHROMA_UPSAMPLING = "bilinear"


class Avif(Codec):
    """One thread and no tiles, so that bytes do not depend on the machine's core count.

    libavif converts to full-range BT.601 (nclx 1/13/6) with libyuv, which rounds luma and floors
    chroma. The plug-in's tuning would be libaom's ``iq``, which gives up PSNR for SSIMULACRA 2;
    here it is ``psnr``, as in the AV1 curves of other suites, and ``iq`` is a setting.
    Speed 6 is libavif's default. Speed 4 takes 6 times as long for 7 % fewer bits; the 2 % more
    that speed 3 saves would take twice that again.
    """

    name = "avif"
    title = "AVIF (pillow-avif-plugin, libaom)"
    display = "AVIF"
    suffix = ".avif"
    rate = "quality"
    more_curves = ("speed=4",)
    parameters = (
        Parameter("quality", 50, "libavif's quality", low=0, high=100),
        Parameter("subsampling", "4:4:4", "chroma format", choices=("4:4:4", "4:2:0")),
        Parameter("speed", 6, "0 slow, 10 fast", low=0, high=10),
        Parameter("tune", "psnr", "what libaom optimises", choices=("psnr", "ssim", "iq")),
    )

    def __init__(self) -> None:
        if not _avif.encoder_codec_available(_ENCODER):
            raise Unavailable(
                f"this pillow-avif-plugin lacks the encoder {_ENCODER}",
                "Install its wheel: pip install pillow-avif-plugin",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return 9 rungs over 0.07 to 2 bpp on Kodak."""
        return [Setting(quality=q) for q in (3, 8, 14, 23, 32, 41, 52, 66, 80)]

    def version(self) -> str:
        """Return the versions of libavif and of the AV1 encoder."""
        encoder = AvifImagePlugin.get_codec_version(_ENCODER)
        return f"libavif {_avif.libavif_version}, {_ENCODER} {encoder}"

    def describe(self, setting: Setting) -> str:
        """Return chroma format and depth, and what it is tuned for if not for PSNR."""
        return format_and_tuning(setting)

    def effort(self, setting: Setting) -> str:
        """Return libaom's speed."""
        return f"speed {setting.get('speed', 6)}"

    def note(self) -> str:
        """Return what a reader who knows libavif's defaults would not expect."""
        return (
            "libaom tuned for PSNR, not libavif's default tune=iq; full-range BT.601; libyuv "
            "floors chroma"
        )

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return an AVIF file without colour profile, EXIF or XMP."""
        _use_this_plugin()
        options = setting.without("tune")
        return encode_pillow(
            image,
            "AVIF",
            limit=32_768,  # libavif decodes no longer side
            codec=_ENCODER,
            max_threads=1,
            autotiling=False,
            range="full",
            advanced={"tune": str(setting.get("tune", "psnr"))},
            **options,
        )

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels."""
        _use_this_plugin()
        _check_claims(data)
        return decode_pillow(data, "AVIF")

    def ceiling(self, image: Image, setting: Setting) -> Image:
        """Return the image after libyuv's conversion and back, by the library itself.

        Quality 100 is AV1's lossless mode: what is lost then is lost by the conversion.
        """
        lossless = setting.replace(quality=100, speed=10)
        return lossless_of_parts(
            image,
            str(setting.get("subsampling")),
            lambda part: self.decode(self.encode(part, lossless)),
        )

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a file-type box of brand ``avif``."""
        return data[4:12] == b"ftypavif"

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return boxes of structure, and the AV1 bytes (the content of ``mdat``)."""
        payload = sum(end - start for kind, _, start, end in boxes(data) if kind == b"mdat")
        return {"header": len(data) - payload, "payload": payload}


def _check_claims(data: bytes) -> None:
    """Refuse deep samples, absurd sizes, and sizes that are not those of the AV1 data inside.

    Raises
    ------
    DecodeError
        If a property of an item is not of the kind that is decoded, or boxes do not fill what is
        around them (ISO/IEC 23008-12, 6.5).
    """
    metas = [(start, end) for kind, _, start, end in boxes(data) if kind == b"meta"]
    for start, end in metas:
        inside = {kind: data[first:last] for kind, _, first, last in boxes(data[:end], start + 4)}
        claimed = [
            size
            for name, body in item_properties(data[start:end])
            for size in _claimed_size(name, body)
        ]
        found = [
            size
            for item in _av1.items(inside.get(b"iloc", bytes(8)), data, inside.get(b"idat", b""))
            if (size := _av1.frame_size(item))
        ]
        # A grid is larger than its tiles, but not than all of them together.
        in_tiles = b"grid" in inside.get(b"iinf", b"")
        most = sum(width * height for width, height in found)
        wrong = [s for s in claimed if (s[0] * s[1] > most if in_tiles else s not in found)]
        if wrong:
            raise DecodeError(
                f"AVIF header claims {wrong[0]} pixels, AV1 data have {found}", DAMAGED
            )


def _claimed_size(name: bytes, body: bytes) -> list[tuple[int, int]]:
    """Return the size that a property claims, if it is one of size; check what else it says."""
    if name == b"av1C" and len(body) >= 4:
        check_depth("AVIF", (8, 8, 10, 12)[body[2] >> 5 & 3])
    elif name == b"pixi":
        check_depth("AVIF", max(body[5:], default=8))
    if name != b"ispe" or len(body) < 12:
        return []
    width, height = int.from_bytes(body[4:8]), int.from_bytes(body[8:12])
    check_size("AVIF", width, height)
    return [(width, height)]


def _use_this_plugin() -> None:
    """Register pillow-avif-plugin for AVIF, in case Pillow's own plug-in came after it."""
    name = AvifImagePlugin.AvifImageFile.format
    if PILImage.OPEN.get(name, (None,))[0] is not AvifImagePlugin.AvifImageFile:
        PILImage.register_open(name, AvifImagePlugin.AvifImageFile, AvifImagePlugin._accept)  # noqa: SLF001
    if PILImage.SAVE.get(name) is not AvifImagePlugin._save:  # noqa: SLF001
        PILImage.register_save(name, AvifImagePlugin._save)  # noqa: SLF001
