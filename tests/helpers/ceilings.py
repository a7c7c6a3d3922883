"""What codecs whose no-codec ceilings are lossless files share in their tests."""

from __future__ import annotations

import numpy as np
import pytest

from bench.codec import Codec, Setting
from bench.codecs import _pillow
from bench.image import Image


def check_parts(
    codec: Codec, picture: Image, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the ceiling of a picture 97 wide, made in parts, is that of the whole."""
    whole = codec.ceiling(picture, setting)
    assert whole is not None
    monkeypatch.setattr(_pillow, "_STRIP_PIXELS", 97 * 70)  # 64 rows
    monkeypatch.setattr(_pillow, "_FEW_BYTES", 0)

    assert np.array_equal(whole, codec.ceiling(picture, setting))
    assert np.array_equal(whole[:1, :1], codec.ceiling(picture[:1, :1], setting))
