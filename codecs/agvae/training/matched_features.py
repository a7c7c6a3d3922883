"""Pieces of one picture in another, whatever their place and scale: by matched features.

A crop of a test image has another perceptual hash. ORB features (Rublee et al. 2011) are found in
both pictures, paired where the best match is clearly better than the second (Lowe 2004), and
counted if one similarity (shift, turn, scale) explains them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.codecs.agvae.training.contamination import Suspect, Verdict
from bench.codecs.agvae.training.photographs import Photos
from bench.image import Image

MIN_MATCHES = 15
"""So many features under one similarity do not agree by chance; strangers reach 8 or so."""

_FEATURES = 800
_MAX_SIDE = 768
_RATIO = 0.75
_TOLERANCE_PX = 4.0


@dataclass(frozen=True, slots=True)
class Features:
    """Of one picture: positions (N, 2) and 256-bit descriptors (N, 32)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def features_of(image: Image) -> Features | None:
    """Return the picture's features; None where it has too few to compare."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrink = _MAX_SIDE / max(gray.shape)
    if shrink < 1:
        gray = cv2.resize(gray, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    detector: Any = cv2.ORB_create(nfeatures=_FEATURES)  # type: ignore[attr-defined]
    points, descriptors = detector.detectAndCompute(gray, None)
    if descriptors is None or len(points) < MIN_MATCHES:
        return None
    return Features(np.array([p.pt for p in points], np.float32), descriptors)


def matches(one: Features, other: Features) -> int:
    """Return how many features of two pictures agree under one similarity."""
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one.descriptors, other.descriptors, k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < _RATIO * p[1].distance]
    if len(good) < MIN_MATCHES:
        return len(good)
    here = one.points[[match.queryIdx for match in good]]
    there = other.points[[match.trainIdx for match in good]]
    _, agree = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=_TOLERANCE_PX)
    # A similarity that squeezes everything into a point would agree with any pairs.
    if agree is None or np.ptp(there[agree[:, 0] > 0], axis=0).max(initial=0) < 8 * _TOLERANCE_PX:
        return 0
    return int(agree.sum())


def check(
    photos: Photos,
    tests: Iterable[tuple[str, str, Image]],
    verdicts: dict[str, Verdict],
) -> Iterator[int]:
    """Add to ``verdicts`` what test images share with photographs; yields after each test image.

    ``tests`` are (dataset, image, pixels); ``verdicts`` come from ``contamination.check``.
    """
    known: Sequence[Features | None] = [features_of(photo.pixels) for photo in photos.members]
    for count, (dataset, name, pixels) in enumerate(tests, 1):
        verdict = verdicts.setdefault(dataset, Verdict(dataset, 0))
        wanted = features_of(pixels)
        verdict.by_fragments += wanted is not None
        for photo, features in zip(photos.members, known, strict=True):
            found = 0 if wanted is None or features is None else matches(features, wanted)
            if found >= MIN_MATCHES:
                reason = f"{found} matched features"
                verdict.suspects.append(Suspect(photo.name, dataset, name, reason))
        yield count
