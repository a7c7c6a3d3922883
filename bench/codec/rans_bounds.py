"""CompressAI's rANS decoder reads beyond the end of a string that lies: here it finds zeros there.

It is C++ that trusts its input. A string that is too short for the symbols that are asked for makes
it read foreign memory, or ends the process. How far it reads is bounded: within the string, a
nibble may ask for 15 more; behind it, where all is zero, a symbol takes two bytes and a half.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

_BYTES_A_NIBBLE = 16  # for each byte of the string
_BYTES_A_SYMBOL = 4
_SYMBOLS_A_PIXEL = 4  # 320 channels at 1/16 of each side are 1.25
_MORE_BYTES = 64

_stream_bytes = [0]


def harden(net: Any) -> None:  # noqa: ANN401 - an untyped torch module
    """Let the decoders of a network, and those that its code will make, read zeros behind the end.

    What honest strings decode to stays the same: they are read from the front.
    """
    ans = sys.modules.get("compressai.ans")
    if ans is None:
        return
    original = _original(ans)
    padded = _padded(original)
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("RansDecoder") is original:
            module.RansDecoder = padded  # type: ignore[attr-defined]
    for part in net.modules():
        coder: Any = getattr(part, "entropy_coder", None)
        if type(getattr(coder, "_decoder", None)) is original:
            coder._decoder = padded()  # noqa: SLF001 - there is no other way in


def expect(pixels: int) -> None:
    """Say of how many pixels the picture is that is decoded next."""
    _stream_bytes[0] = _BYTES_A_SYMBOL * _SYMBOLS_A_PIXEL * pixels


def _original(ans: Any) -> Any:  # noqa: ANN401 - a module, and its class
    found = ans.RansDecoder
    return found.__mro__[1] if found.__module__ == __name__ else found


@cache
def _padded(original: Any) -> Any:  # noqa: ANN401 - a class of C++
    class RansDecoder(original):  # type: ignore[misc]
        """As CompressAI's, with zeros behind every string."""

        def decode_with_indexes(self, stream: bytes, indexes: list[int], *tables: Any) -> Any:  # noqa: ANN401
            more = _BYTES_A_SYMBOL * len(indexes) + _BYTES_A_NIBBLE * len(stream) + _MORE_BYTES
            return super().decode_with_indexes(stream + bytes(more), indexes, *tables)

        def set_stream(self, stream: bytes) -> None:
            more = _stream_bytes[0] + _BYTES_A_NIBBLE * len(stream) + _MORE_BYTES
            super().set_stream(stream + bytes(more))

    return RansDecoder
