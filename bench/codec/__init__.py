"""The codec contract: pixels in, bytes out, pixels back from the bytes alone.

A codec is a class with a name, a ladder of settings, a version, ``encode`` and ``decode``.
Everything else here has a default, so callers ask every codec the same questions. A complete
codec (``codecs/null.py`` is one)::

    class Null(Codec):
        name = "null"

        def ladder(self):
            return [Setting()]

        def version(self):
            return "raw 1"

        def encode(self, image, setting):
            return struct.pack(">II", *image.shape[:2]) + image.tobytes()

        def decode(self, data):
            height, width = struct.unpack(">II", data[:8])
            return np.frombuffer(data[8:], np.uint8).reshape(height, width, 3)
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from bench.codec.complexity import Complexity
from bench.codec.setting import Parameter, Scalar, Setting
from bench.image import Image
from bench.stopwatch import Phases

__all__ = ["FASTEST", "Codec", "Complexity", "Parameter", "Scalar", "Setting"]

FASTEST = "fastest"
"""A wish for the precision that a device computes quickest; see ``Codec.choose_precision``."""


class Codec(abc.ABC):
    """The contract of every codec; only bytes cross it, so a rate cannot be flattered.

    A constructor that raises ``Unavailable`` (or a module that raises ``ImportError``) makes the
    codec *unavailable with that reason* in ``bench list``, the tables and the page.
    Constructors must be quick: load weights on the first ``encode`` or ``decode``.

    Attributes
    ----------
    name
        File stem, CLI word and column value.
    title
        One phrase for ``bench list``.
    display
        What labels, figures and sentences call it, such as ``JPEG XL``. Empty: ``name``.
    suffix
        Of the files that ``bench encode`` writes.
    format_version
        Raise it when the same setting gives other bytes, or old bytes no longer decode.
    rate
        Parameter that moves along the curve; empty: the one that varies over ``ladder()``.
    parameters
        What a setting may say. Empty: whatever ``ladder()`` says.
    in_default_run
        Whether ``bench all`` measures it when no ``--codec`` is given.
    more_curves
        Options of further, slow curves of the default run: ``("speed=4",)``; not of ``--quick``.
    family
        The codec whose variants it and others are: a run that names no codec gives them a table
        and a plot of their own, against that one; ``--quick`` leaves them out.
    devices
        What ``device`` may be set to; the first is the default.
    pixel_tolerance
        How far samples may differ between two decodes of one file. 0 for integer arithmetic; 1
        for a floating-point synthesis, whose last bit moves with threads and library.
    learned
        Whether it is a network, which uses several cores as threads of one process and not as
        several processes: ``bench throughput`` times it so.
    precisions
        Arithmetics that ``precision`` may name, the most exact first; empty without a network.
    device, precision
        Where and how it computes, set before the first image; an empty precision: its own choice.
    ledger_decodes
        Whether ``ledger`` decodes the file; ``bench info`` then asks for it on request only.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    display: ClassVar[str] = ""
    suffix: ClassVar[str] = ".bin"
    format_version: ClassVar[int] = 1
    rate: ClassVar[str] = ""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    in_default_run: ClassVar[bool] = True
    more_curves: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = ""
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    pixel_tolerance: ClassVar[int] = 0
    learned: ClassVar[bool] = False
    precisions: ClassVar[tuple[str, ...]] = ()
    ledger_decodes: ClassVar[bool] = False

    device: str = "cpu"
    precision: str = ""

    @abc.abstractmethod
    def ladder(self) -> Sequence[Setting]:
        """Return the default operating points, lowest rate first."""

    @abc.abstractmethod
    def version(self) -> str:
        """Return name and version of the library that does the work."""

    @abc.abstractmethod
    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the whole file for ``image``, uint8 RGB of shape (H, W, 3).

        Raises
        ------
        EncodeError
            If this codec cannot hold such an image.
        """

    @abc.abstractmethod
    def decode(self, data: bytes) -> Image:
        """Return the image, uint8 RGB of shape (H, W, 3), from the bytes alone.

        Raises
        ------
        DecodeError
            If the bytes are damaged, truncated or of another format.
        """

    def encode_batch(
        self,
        images: Sequence[Image],
        settings: Sequence[Setting],
        phases: Phases | None = None,  # noqa: ARG002
    ) -> list[bytes]:
        """Return one file per image, in order; for codecs that gain from several at once.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3), of any sizes.
        settings
            One per image.
        phases
            Stopwatch for a codec that can say where its time goes: ``with phases("analysis")``.
        """
        return [self.encode(image, one) for image, one in zip(images, settings, strict=True)]

    def decode_batch(
        self,
        files: Sequence[bytes],
        phases: Phases | None = None,  # noqa: ARG002
    ) -> list[Image]:
        """Return the image of each file, in order; see ``encode_batch``."""
        return [self.decode(data) for data in files]

    def available_parameters(self) -> Sequence[Parameter]:
        """Return ``parameters`` as they are here: of a network, the values that have weights.

        What ``ladder()`` says, where the class declares none.
        """
        return self.parameters or [
            Parameter(name, value) for name, value in next(iter(self.ladder()), Setting()).items()
        ]

    @property
    def batched(self) -> bool:
        """Whether the codec codes several images at once, with batch functions of its own."""
        return type(self).encode_batch is not Codec.encode_batch

    def encode_to_rate(
        self,
        image: Image,  # noqa: ARG002
        bpp: float,  # noqa: ARG002
        tolerance: float,  # noqa: ARG002
        base: Setting,  # noqa: ARG002
    ) -> tuple[bytes, Setting] | None:
        """Return the file nearest to a rate and its setting, or None: no search of its own.

        For a codec that is quicker than ``bench.rate_search``, which encodes every value anew.

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3).
        bpp
            Target in bits per pixel of the whole file.
        tolerance
            Relative distance at which the search may stop.
        base
            Options to hold.
        """
        return None

    def choose_precision(self, wanted: str) -> str:
        """Return what a wish for a precision means on ``device``; empty without a network.

        Parameters
        ----------
        wanted
            One of ``precisions``; empty: the device's default; ``FASTEST``: its quickest.
        """
        default = self.precisions[0] if self.precisions else ""
        return wanted if wanted in self.precisions else default

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights that the files depend on, for ``bench check``; empty: none."""
        return ""

    def complexity(self, setting: Setting) -> Complexity | None:  # noqa: ARG002
        """Return parameters and multiply-accumulates of the network; None: there is none."""
        return None

    @classmethod
    def fetch(cls, tell: Callable[[str], object]) -> Sequence[Path]:  # noqa: ARG003
        """Download what the codec needs, weights for instance; return the files.

        Parameters
        ----------
        tell
            Called with the progress in words.

        Raises
        ------
        BenchError
            If something cannot be downloaded or stored.
        """
        return ()

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return chroma format and bit depth of a setting, such as ``4:2:0 8-bit``."""
        return ""

    def effort(self, setting: Setting) -> str:  # noqa: ARG002
        """Return how hard the encoder works, at its default too: ``speed 6``; empty: no choice."""
        return ""

    def note(self) -> str:
        """Return a caveat that must stand beside the numbers; usually empty."""
        return ""

    def ceiling(self, image: Image, setting: Setting) -> Image | None:  # noqa: ARG002
        """Return ``image`` after the codec's colour conversion alone: its best possible output.

        The image itself where the conversion loses nothing, None where nobody knows.
        """
        return image

    def recognises(self, data: bytes) -> bool:  # noqa: ARG002
        """Return whether ``data`` begins like a file of this codec."""
        return False

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return the bytes of each part of a file; the parts sum to ``len(data)``."""
        return {"file": len(data)}

    def sample_bits(self, data: bytes) -> int:  # noqa: ARG002
        """Return the bits of the samples that a file codes; ``decode`` rounds those above 8."""
        return 8

    def facts(self, data: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return what the header of a file says, for ``bench info``."""
        return {}

    def label(self, setting: Setting) -> str:
        """Return the name of the curve that ``setting`` lies on: codec, format, effort, version."""
        words = " ".join(filter(None, (self.display or self.name, self.describe(setting))))
        return f"{', '.join(filter(None, (words, self.effort(setting))))} ({self.version()})"
