"""One image and one file, from Python: codecs and metrics as objects, encode, decode, score."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import image as images
from bench import metrics as metrics_of
from bench import rate_search, registry
from bench.codec import Codec, Scalar, Setting
from bench.errors import CodecError, CodecFailed, DecodeError, UsageError
from bench.image import Image
from bench.metrics import Metric, from_file
from bench.rate_search import Encoded, Target


def create_codec(name: str, device: str = "cpu") -> Codec:
    """Return a codec, ready to use: ``ladder()``, ``encode(image, setting)``, ``decode(data)``.

    Parameters
    ----------
    name
        As ``--codec`` takes it, without options: a name, ``FILE.py:Class`` or ``FILE.toml``.
    device
        ``cpu`` or ``cuda``, for codecs that can choose.

    Raises
    ------
    BenchError
        If there is no such codec or it cannot run here.
    """
    spec = registry.Spec.typed(name)
    if spec.options:
        raise UsageError(f"{name} has options", "Give them to encode(), or in a bench.Setting.")
    registry.check_device(device)
    return registry.create(spec.name, device)


def create_metric(name: str) -> Metric:
    """Return a metric: ``metric(original, decoded)`` is its value.

    Parameters
    ----------
    name
        As ``--metric`` takes it; of a family (``lpips``), the first that can be computed here.

    Raises
    ------
    BenchError
        If there is no such metric or it cannot be computed here.
    """
    return metrics_of.create(from_file.name_of(name))


def encode(
    image: Image | Path | str,
    codec: str | Codec,
    *,
    quality: Scalar | None = None,
    bpp: float | None = None,
    target: str | Target | None = None,
    device: str = "cpu",
) -> Encoded:
    """Return an image as a file, by a codec and one of its settings.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3), or the path of an image.
    codec
        As ``--codec`` takes it, options included (``avif:speed=4``); or a codec.
    quality
        Value of the codec's own rate parameter; the middle of its ladder if None.
    bpp
        Bits per pixel to come nearest to instead, by the real size; see ``Encoded.reached``.
    target
        Value of any metric to come nearest to instead: ``psnr=38``, ``ssimulacra2=80``; see
        ``Encoded.value`` and ``note``.
    device
        ``cpu`` or ``cuda``, for codecs that can choose.

    Returns
    -------
    Encoded
        ``data``, the whole file; ``setting``, ``bpp``.

    Raises
    ------
    BenchError
        If the codec cannot run here, does not have such a setting, or refuses the image.
    """
    if sum(wish is not None for wish in (quality, bpp, target)) > 1:
        raise UsageError("quality, bpp and target exclude each other", "Give one of them.")
    spec, made = _codec(codec, device)
    pixels = _pixels(image)
    given = images.frozen(pixels)
    if bpp is not None:
        found = rate_search.encode_to_bpp(made, given, registry.settings(made, spec)[0], bpp)
    elif target is not None:
        aim = Target.typed(target) if isinstance(target, str) else target
        found = rate_search.search(made, given, registry.settings(made, spec)[0], aim)
    else:
        settings = registry.settings(made, spec, quality=None if quality is None else [quality])
        setting = settings[len(settings) // 2]
        data = made.encode(given, setting)
        rate = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
        found = Encoded(data, setting, rate, reached=True, encodes=1)
    if not np.array_equal(given, pixels):
        raise CodecFailed(f"crashed: {made.name} wrote into the picture that it was given")
    return found


def decode(
    file: bytes | Encoded | Path | str, codec: str | Codec | None = None, *, device: str = "cpu"
) -> Image:
    """Return the picture of a file, uint8 RGB (H, W, 3), from its bytes alone.

    Parameters
    ----------
    file
        The bytes, what ``encode`` returned, or the path of a file.
    codec
        The codec of the file; the one that recognises its first bytes if None.
    device
        ``cpu`` or ``cuda``, for codecs that can choose.

    Raises
    ------
    BenchError
        If no codec here recognises the file, or it is damaged or deeper than 8 bits.
    """
    data = _bytes(file)
    if codec is None:
        made = _recognise(data, device)
    else:
        _, made = _codec(codec, device)
    if (bits := made.sample_bits(data)) > 8:
        raise DecodeError(
            f"the file is deeper than 8 bits: {made.name} codes {bits} bits a sample",
            f"bench.create_codec({made.name!r}).decode(data) rounds them.",
        )
    return made.decode(data)


def score(
    original: Image | Path | str,
    decoded: Image | Path | str,
    metrics: Sequence[str | Metric] = ("psnr", "ms_ssim"),
) -> dict[str, float]:
    """Return column of a metric -> its value; NaN where it is not defined for such an image.

    Parameters
    ----------
    original, decoded
        uint8 RGB (H, W, 3) of one size, or paths of images.
    metrics
        As ``--metric`` takes them, or metrics.

    Raises
    ------
    BenchError
        If a metric cannot be computed here, or the images are of different sizes.
    """
    pair = _pixels(original), _pixels(decoded)
    metrics_of.require_same_shape(pair[0].shape, pair[1])
    found = {}
    for word in [metrics] if isinstance(metrics, str) else metrics:
        metric = create_metric(word) if isinstance(word, str) else word
        try:
            found[metric.column] = float(metric(*pair))
        except metrics_of.Undefined:
            found[metric.column] = math.nan
    return found


def _codec(codec: str | Codec, device: str) -> tuple[registry.Spec, Codec]:
    if isinstance(codec, Codec):
        return registry.Spec(codec.name, Setting()), codec
    registry.check_device(device)
    spec = registry.Spec.typed(codec)
    return spec, registry.create(spec.name, device)


def _recognise(data: bytes, device: str) -> Codec:
    for name, found in registry.discover().items():
        with contextlib.suppress(CodecError):
            if found.cls is not None and (made := registry.create(name, device)).recognises(data):
                return made
    raise UsageError(
        "the bytes are not a file of any codec that is available here", "Name its codec."
    )


def _pixels(image: Image | Path | str) -> Image:
    return images.load(image) if isinstance(image, Path | str) else images.check(image)


def _bytes(file: bytes | Encoded | Path | str) -> bytes:
    if isinstance(file, Encoded):
        return file.data
    if isinstance(file, bytes | bytearray | memoryview):
        return bytes(file)
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {file}: {reason}", "Check the path.") from error
