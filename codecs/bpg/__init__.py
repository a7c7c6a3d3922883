"""BPG: HEVC intra pictures in Fabrice Bellard's container, both sides our own around x265.

FORMAT.md beside this file describes the container, what of it is supported, and the licence of
x265.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.codec import Codec, Parameter, Setting
from bench.codecs.bpg import colour, container, hevc, picture, x265
from bench.codecs.bpg.container import Header
from bench.image import Image
from bench.registry import complete


class Bpg(Codec):
    """BPG files as bpgenc 0.9.8 writes them with x265, from whichever x265 PyAV carries.

    A picture whose channels are equal everywhere becomes a gray BPG, whatever ``subsampling``.
    """

    name = "bpg"
    title = "BPG (own container, x265 and FFmpeg's hevc through PyAV)"
    display = "BPG"
    suffix = ".bpg"
    rate = "qp"
    parameters = (
        Parameter("qp", 29, "quantiser; lower is better and larger", low=0, high=51),
        Parameter("subsampling", "4:4:4", "chroma format", choices=("4:4:4", "4:2:0")),
        Parameter("depth", 8, "bits per coded sample", choices=(8, 10)),
        Parameter("level", 8, "bpgenc's effort, 1 fast to 9: x265's presets", low=1, high=9),
        Parameter("md5", False, "MD5 of the planes inside, verified on decoding; 57 bytes"),
    )

    def __init__(self) -> None:
        x265.check_available()

    def ladder(self) -> Sequence[Setting]:
        """Return 9 rungs over about 0.07 to 2 bpp on Kodak."""
        return [Setting(qp=qp) for qp in (48, 45, 42, 39, 36, 33, 30, 26, 22)]

    def version(self) -> str:
        """Return x265's version, read from a stream of its own."""
        return x265.version()

    def describe(self, setting: Setting) -> str:
        """Return chroma format and depth, and whether the file carries an MD5."""
        values = complete(self, setting)
        words = f"{values['subsampling']} {values['depth']}-bit"
        return words + " md5" * bool(values["md5"])

    def effort(self, setting: Setting) -> str:
        """Return x265's preset at bpgenc's level."""
        return f"x265 {x265.PRESETS[int(complete(self, setting)['level']) - 1]}"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a BPG file."""
        values = complete(self, setting)
        return picture.encode(
            image,
            qp=int(values["qp"]),
            subsampling=str(values["subsampling"]),
            bit_depth=int(values["depth"]),
            level=int(values["level"]),
            md5=bool(values["md5"]),
        )

    def decode(self, data: bytes) -> Image:
        """Return the picture of any writer's BPG file, alpha and animation excepted."""
        return picture.decode(data)

    def ceiling(self, image: Image, setting: Setting) -> Image:
        """Return the image after the exact colour conversion that the file passes through."""
        values = complete(self, setting)
        depth = int(values["depth"])
        pixel_format = picture.pixel_format_of(image, str(values["subsampling"]))
        planes = colour.rgb_to_planes(image, pixel_format, depth)
        height, width = image.shape[:2]
        return colour.planes_to_rgb(planes, Header(width, height, pixel_format, bit_depth=depth))

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with BPG's magic number."""
        return data[: len(container.MAGIC)] == container.MAGIC

    def sample_bits(self, data: bytes) -> int:
        """Return the depth that the header says."""
        return container.parse(data).header.bit_depth

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return bytes of header, extensions, hevc_header, pps, sei, slices and other NAL units."""
        file = container.parse(data)
        parts = dict(file.part_sizes)
        for nal, size_bytes in hevc.split_nals(file.nal_bytes):
            kind = hevc.nal_type(nal) if nal else -1
            if kind == hevc.PPS:
                part = "pps"
            elif kind in hevc.SEI:
                part = "sei"
            else:
                part = "slices" if kind in hevc.INTRA_PICTURES else "other"
            parts[part] = parts.get(part, 0) + size_bytes
        return parts
