"""Invented rows of Kodak: codecs over images and qualities, failures, lossless cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

IMAGES = [f"kodim{i:02d}.png" for i in range(1, 7)]


def cell(image: str, codec: str, quality: int, *, dataset: str = "kodak", **values: object) -> dict:
    """One plausible row: quality, rate and image move bpp and PSNR smoothly."""
    number = IMAGES.index(image) if image in IMAGES else 0
    gain = {"jpeg": 0.0, "webp": 1.0, "bpg": 2.2}.get(codec.partition(":")[0], 0.5)
    bpp = 0.02 * quality * (1 + 0.05 * number)
    psnr = 30 + 6 * math.log10(bpp) + gain + 0.4 * number
    row = {
        "dataset": dataset,
        "image": image,
        "codec": codec,
        "label": f"{codec.partition(':')[0]} 4:2:0 8-bit (lib 1.0)",
        "setting": f'{{"quality":{quality},"subsampling":"4:2:0"}}',
        "bytes": round(bpp * 49152),
        "bpp": bpp,
        "psnr_db": psnr,
        "ms_ssim": 1 - 10 ** (-(psnr - 18) / 10),
        "lpips_alex": 10 ** (-psnr / 20),
        "encode_s": 0.01,
        "decode_s": 0.005,
        "bitstream_sha256": "ab" * 32,
        "error": "",
    }
    return row | values


def failed(image: str, codec: str, quality: int, error: str = "crashed") -> dict:
    """Return a row as a failure leaves it."""
    row = cell(image, codec, quality, error=error, bitstream_sha256=None)
    numbers = [name for name, value in row.items() if isinstance(value, float | int)]
    return row | dict.fromkeys(numbers, math.nan)


def grid(
    codecs: tuple[str, ...] = ("jpeg", "webp", "bpg"),
    qualities: tuple[int, ...] = (5, 10, 20, 40, 80),
    images: list[str] = IMAGES,
    make: Callable[..., dict] = cell,
) -> pd.DataFrame:
    """Every codec at every quality over every image."""
    return pd.DataFrame([make(i, c, q) for c in codecs for i in images for q in qualities])


def replaced(rows: pd.DataFrame, *new: dict) -> pd.DataFrame:
    """Return ``rows`` with the cells of ``new`` in the place of their like."""
    frame = pd.concat([rows, pd.DataFrame(new)], ignore_index=True)
    return frame.drop_duplicates(["dataset", "image", "codec", "setting"], keep="last")


def exact(image: str, codec: str, quality: int) -> dict:
    """Return the cell of an exact copy."""
    return cell(image, codec, quality, psnr_db=math.inf, ms_ssim=1.0, lpips_alex=0.0)
