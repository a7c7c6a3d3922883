"""HEIC by pillow-heif (libheif, x265, libde265), if it is installed: 8 bits, one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

try:
    import pillow_heif
except ImportError as error:
    raise ImportError(
        f"{error}; to add HEIC: pip install 'agvae-bench[heic]' (or pillow-heif)"
    ) from error

from bench.codec import Codec, Parameter, Setting
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
from bench.codecs.bpg.bits import BitReader, unescape
from bench.errors import DecodeError, Unavailable
from bench.image import Image

_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
_BRANDS = (b"heic", b"heix", b"heim", b"heis")
_SPS = 33
# One thread; only the picture itself is decoded, not what a camera stores beside it.
pillow_heif.register_heif_opener(
    decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
)


class Heic(Codec):
    """HEVC intra in ISO's container: x265 as in ``bpg``, with libheif's colours and defaults.

    libheif converts to full-range BT.601 (nclx 1/13/6). Its preset is x265's ``slow`` and its
    tuning ``ssim``, which gives up 0.15 dB of PSNR; here it is ``psnr``, as for AVIF and BPG.
    x265 gets no pool of threads, as every encoder here; so it codes without wavefronts.
    """

    name = "heic"
    title = "HEIC (pillow-heif, libheif, x265)"
    display = "HEIC"
    suffix = ".heic"
    rate = "quality"
    in_default_run = False
    parameters = (
        Parameter("quality", 50, "libheif's quality", low=0, high=100),
        Parameter("subsampling", "4:4:4", "chroma format", choices=("4:4:4", "4:2:0")),
        Parameter("preset", "slow", "x265's preset", choices=(*_PRESETS, "veryslow", "placebo")),
        Parameter("tune", "psnr", "what x265 optimises", choices=("psnr", "ssim")),
    )

    def __init__(self) -> None:
        if not _encoder():
            raise Unavailable(
                "this pillow-heif lacks the encoder x265",
                "Install its wheel: pip install pillow-heif",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over 0.1 to 2 bpp on Kodak."""
        return [Setting(quality=q) for q in (5, 11, 17, 24, 31, 38, 45, 51)]

    def version(self) -> str:
        """Return the versions of libheif and x265."""
        return f"libheif {pillow_heif.libheif_version()}, x265 {_encoder()}"

    def describe(self, setting: Setting) -> str:
        """Return chroma format and depth, and what it is tuned for if not for PSNR."""
        return format_and_tuning(setting)

    def effort(self, setting: Setting) -> str:
        """Return x265's preset."""
        return f"x265 {setting.get('preset', 'slow')}"

    def note(self) -> str:
        """Return what a reader who knows libheif's defaults would not expect."""
        return "x265 tuned for PSNR, not libheif's default tune=ssim; full-range BT.601"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a HEIC file without ICC profile, EXIF or XMP."""
        return _encode(image, setting)

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels of a still, opaque picture of 8 bits, of any writer."""
        _check_claims(data)
        return decode_pillow(data, "HEIF")

    def ceiling(self, image: Image, setting: Setting) -> Image:
        """Return the image after libheif's conversion and back, coded without loss by x265."""
        quick = setting.replace(preset="ultrafast")
        return lossless_of_parts(
            image,
            str(setting.get("subsampling")),
            lambda part: self.decode(_encode(part, quick, lossless="true")),
        )

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a file-type box of a HEVC picture's brand."""
        return data[4:8] == b"ftyp" and data[8:12] in _BRANDS

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return boxes of structure, and the HEVC bytes (the content of ``mdat``)."""
        payload = sum(end - start for kind, _, start, end in boxes(data) if kind == b"mdat")
        return {"header": len(data) - payload, "payload": payload}


def _encoder() -> str:
    """Return x265's version, such as ``4.1+1-1d117be``; empty: this build cannot encode."""
    words = str(pillow_heif.libheif_info()["HEIF"])
    return words.partition("(")[2].rstrip(")") if words.startswith("x265") else ""


def _encode(image: Image, setting: Setting, **more: str) -> bytes:
    parameters = {
        "preset": str(setting.get("preset", "slow")),
        "tune": str(setting.get("tune", "psnr")),
        "x265:pools": "none",
        **more,
    }
    return encode_pillow(
        image,
        "HEIF",
        limit=1 << 16,
        quality=setting["quality"],
        subsampling=setting.get("subsampling", "4:4:4"),
        enc_params=parameters,
    )


def _check_claims(data: bytes) -> None:
    """Refuse deep samples and absurd sizes, of the container and of the HEVC data, unallocated.

    Raises
    ------
    DecodeError
        If there are such, or boxes do not fill what is around them.
    """
    for kind, _, start, end in boxes(data):
        for name, body in item_properties(data[start:end]) if kind == b"meta" else ():
            if name == b"ispe" and len(body) >= 12:
                check_size("HEIC", int.from_bytes(body[4:8]), int.from_bytes(body[8:12]))
            elif name == b"pixi":
                check_depth("HEIC", max(body[5:], default=8))
            elif name == b"hvcC" and len(body) >= 23:
                check_depth("HEIC", 8 + max(body[17] & 7, body[18] & 7))
                for nal in _parameter_sets(body):
                    if nal[0] >> 1 & 63 == _SPS:
                        check_size("HEIC", *_coded_size(nal))


def _parameter_sets(record: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a decoder configuration record (ISO/IEC 14496-15, 8.3.3.1)."""
    position = 23
    for _ in range(record[22]):
        count = int.from_bytes(record[position + 1 : position + 3])
        position += 3
        for _ in range(count):
            length = int.from_bytes(record[position : position + 2])
            nal = record[position + 2 : position + 2 + length]
            if len(nal) < max(2, length):
                raise DecodeError("HEIC file holds parameter sets that break off", DAMAGED)
            yield nal
            position += 2 + length


def _coded_size(nal: bytes) -> tuple[int, int]:
    """Return width and height of the coded picture by its SPS (ITU-T H.265, 7.3.2.2)."""
    bits = BitReader(unescape(nal[2:]))
    bits.u(4)
    layers = bits.u(3)
    bits.u(1 + 88 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    bits.u(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    bits.ue()
    if bits.ue() == 3:
        bits.flag()
    return bits.ue(), bits.ue()
