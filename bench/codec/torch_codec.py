"""The base of learned codecs: a network with ``compress`` and ``decompress``, and its weights.

CompressAI's networks are such, and whatever follows them. A complete codec::

    import bench


    class Mine(bench.TorchCodec):
        name = "mine"
        weights = {1: "ckpt/low.pth.tar", 2: "ckpt/high.pth.tar"}

        def build(self, state):
            from mypackage.models import MyModel

            return MyModel.from_state_dict(state)

Nothing here imports torch before the first image.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.codec import Codec, Complexity, Parameter, Setting, rans_bounds
from bench.codec.complexity import of_network
from bench.codec.state_dict import build, read_state
from bench.codec.tensor_file import (
    DAMAGED,
    MAGIC,
    TensorFile,
    equal,
    filled,
    grown,
    leaves,
)
from bench.errors import DecodeError, EncodeError, SettingError, Unavailable
from bench.image import Image

_FAILURES = (RuntimeError, ValueError, IndexError, KeyError, TypeError, AssertionError)
"""What a network's decoder raises on strings that it did not write."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a setting's network comes from.

    Attributes
    ----------
    path, sha256
        The file of weights, and the hash that it must have.
    level
        Which rate of these weights; the file says it to the decoder.
    """

    path: Path
    sha256: str
    level: int

    @property
    def fingerprint(self) -> bytes:
        """What files of this network begin with, behind the magic bytes."""
        return bytes.fromhex(self.sha256)[:4]


class TorchCodec(Codec):
    """A codec whose work a network does; a subclass says its name, weights and how to build it.

    The image is padded at the right and below by repeating its last pixels, to a multiple of
    ``stride``, and cropped after decoding. The file holds the strings, the size, the rate and the
    hash of the weights; the shapes of the latents follow from the size. Images go through the
    network one by one: in a batch its floating-point results differ in the last bits, and with
    them the tables of the entropy coder, so that a file could not be decoded alone.

    Attributes
    ----------
    weights
        Quality -> file of weights; a relative path is searched beside the class's own file. One
        file may have several qualities: ``compress`` and ``decompress`` then take the setting.
    stride
        Multiple that the network wants of both sides, in pixels.
    """

    suffix = ".btc"
    rate = "quality"
    pixel_tolerance = 1
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    learned = True
    precisions = ("float32",)

    weights: ClassVar[Mapping[int, str]] = {}
    stride: ClassVar[int] = 64

    def __init__(self) -> None:
        missing = [point.path for point in self._points.values() if not point.sha256]
        if missing or not self._points:
            raise Unavailable(
                f"no weights: {missing[0] if missing else self.name} has no such file"
            )

    @abstractmethod
    def build(self, state: dict[str, Any]) -> Any:  # noqa: ANN401 - an untyped torch module
        """Return the network with the weights of a state dictionary, on the CPU."""

    def compress(self, net: Any, x: Any, setting: Setting) -> dict[str, Any]:  # noqa: ANN401, ARG002
        """Return ``strings`` and ``shape`` of a picture ``x``, float32 (1, 3, H, W) in 0..1."""
        found: dict[str, Any] = net.compress(x)
        return found

    def decompress(self, net: Any, strings: Any, shape: Any, setting: Setting) -> Any:  # noqa: ANN401, ARG002
        """Return the picture, float32 (1, 3, H, W), of what ``compress`` returned."""
        return net.decompress(strings, shape)["x_hat"]

    @cached_property
    def _points(self) -> dict[int, Point]:
        """Quality -> point; the hash is empty where the file is missing."""
        source = inspect.getsourcefile(type(self).build)
        beside = Path(source).resolve().parent if source else Path()
        found = {}
        for quality, name in sorted(self.weights.items()):
            path = beside / Path(name).expanduser()
            found[quality] = Point(path, file_sha256(path) if path.is_file() else "", quality)
        return found

    def point(self, setting: Setting) -> Point:
        """Return where the network of a setting comes from.

        Raises
        ------
        SettingError
            If there are no weights for it.
        """
        quality = setting[self.rate]
        if quality not in self._points:
            known = ", ".join(map(str, self._points))
            raise SettingError(
                f"{self.name} has no weights of quality {quality}", f"Known: {known}."
            )
        return self._points[int(quality)]

    def points(self) -> Iterator[tuple[Setting, Point]]:
        """Yield every setting whose weights are here, with them."""
        for quality, point in self._points.items():
            yield Setting(quality=quality), point

    def ladder(self) -> Sequence[Setting]:
        """Return the qualities, the lowest first."""
        return [setting for setting, _ in self.points()]

    def available_parameters(self) -> Sequence[Parameter]:
        """Return ``parameters``, or those of the ladder, with the qualities that have weights."""
        known = tuple(s[self.rate] for s, _ in self.points() if self.rate in s)
        return [
            replace(found, choices=known) if known and found.name == self.rate else found
            for found in super().available_parameters()
        ]

    def version(self) -> str:
        """Return the libraries' versions and the hash of all weights: others are another codec."""
        digest = hashlib.sha256(self.weights_sha256.encode()).hexdigest()[:8]
        return f"{libraries()}, weights {digest}"

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return sample format and depth: the network sees RGB."""
        return "RGB 8-bit"

    def note(self) -> str:
        """Return the caveat of every codec whose entropy model computes in floating point."""
        return (
            "float32 decides the entropy coder's tables: a file decodes surely only on the kind of "
            "device, library and thread count that wrote it"
        )

    @property
    def weights_sha256(self) -> str:
        """The hash of each file of weights."""
        return ",".join(dict.fromkeys(point.sha256 for _, point in self.points()))

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a file that holds all that the decoder needs, but the weights."""
        import torch

        net = self.network(setting)
        height, width = image.shape[:2]
        padding = ((0, -height % self.stride), (0, -width % self.stride), (0, 0))
        padded = np.pad(image, padding, mode="edge")
        x = torch.from_numpy(padded).permute(2, 0, 1)[None].to(self.device).float() / 255
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                coded = self.compress(net, x, setting)
        except RuntimeError as error:
            raise EncodeError(f"{self.name} failed on {width}x{height}: {error}") from error
        return self.pack(coded, setting, height, width)

    def decode(self, data: bytes) -> Image:
        """Return the image, if the file is whole and the weights that wrote it are available."""
        import torch

        setting, height, width, coded = self.unpack(data)
        net = self.network(setting)
        rans_bounds.expect(-(-height // self.stride) * -(-width // self.stride) * self.stride**2)
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                x_hat = self.decompress(net, coded["strings"], coded["shape"], setting)
        except _FAILURES as error:
            raise DecodeError(f"{self.name} decoder failed: {error}", DAMAGED) from error
        found = tuple(x_hat.shape)
        if found[:2] != (1, 3) or found[2] < height or found[3] < width:
            raise DecodeError(f"{self.name} decoder gave {found} for {width}x{height}", DAMAGED)
        rgb = (x_hat[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        return np.ascontiguousarray(rgb.cpu().numpy()[:height, :width])

    def pack(self, coded: dict[str, Any], setting: Setting, height: int, width: int) -> bytes:
        """Return the file of what ``compress`` returned.

        Raises
        ------
        EncodeError
            If shapes or strings are not those that the decoder will expect.
        """
        expected, shape = self._form(setting, height, width), coded["shape"]
        strings = tuple(leaves(coded["strings"]))
        if not equal(expected["shape"], shape) or filled(coded["strings"], iter(strings)) != (
            filled(expected["strings"], iter(strings))
        ):
            raise EncodeError(
                f"{self.name} gave {len(strings)} strings and shape {shape} for {width}x{height}, "
                f"wanted {len(list(leaves(expected['strings'])))} and {expected['shape']}",
                "Set `stride` to what the network's shapes are multiples of.",
            )
        point = self.point(setting)
        return TensorFile(point.fingerprint, point.level, width, height, strings).pack()

    def unpack(self, data: bytes) -> tuple[Setting, int, int, dict[str, Any]]:
        """Return setting, height, width, and what ``compress`` returned, of a file.

        Raises
        ------
        DecodeError
            If it is damaged, or of another codec.
        """
        file = TensorFile.unpack(data, self.stride)
        setting = self._setting_of(file)
        expected = self._form(setting, file.height, file.width)
        wanted = len(list(leaves(expected["strings"])))
        if len(file.strings) != wanted:
            raise DecodeError(
                f"{self.name} wants {wanted} strings, found {len(file.strings)}", DAMAGED
            )
        strings = filled(expected["strings"], iter(file.strings))
        return setting, file.height, file.width, {"strings": strings, "shape": expected["shape"]}

    def _setting_of(self, file: TensorFile) -> Setting:
        known = {(point.fingerprint, point.level): setting for setting, point in self.points()}
        found = known.get((file.weights, file.level))
        if found is None:
            raise DecodeError(
                f"{self.name} file wants weights {file.weights.hex()} at level {file.level}, which "
                "are not among those of this codec",
                "Name the codec with the weights that wrote it.",
            )
        return found

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins like a file of these weights."""
        weights = data[len(MAGIC) : len(MAGIC) + 4]
        return data[: len(MAGIC)] == MAGIC and any(
            point.fingerprint == weights for _, point in self.points()
        )

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return the bytes of header and checksum, and of each string."""
        sizes = [len(string) for string in TensorFile.unpack(data, self.stride).strings]
        named = {f"string {number}": size for number, size in enumerate(sizes)}
        return {"header": len(data) - sum(sizes), **named}

    def facts(self, data: bytes) -> dict[str, str]:
        """Return size and weights of a file, for ``bench info``."""
        file = TensorFile.unpack(data, self.stride)
        setting = self._setting_of(file)
        return {
            "image": f"{file.width}x{file.height} RGB 8-bit",
            "weights": f"{file.weights.hex()} ({self.point(setting).path.name})",
            self.rate: str(setting[self.rate]),
        }

    def network(self, setting: Setting) -> Any:  # noqa: ANN401 - an untyped torch module
        """Return the network of a setting on ``device``, loaded once.

        Raises
        ------
        Unavailable
            If its weights are missing, damaged, changed, or not of this network.
        """
        point = self.point(setting)
        key = (point.sha256, self.device)
        if key not in self._networks:
            self._networks[key] = self._load(point).to(self.device)
            rans_bounds.harden(self._networks[key])
        return self._networks[key]

    @cached_property
    def _networks(self) -> dict[tuple[str, str], Any]:
        return {}

    def complexity(self, setting: Setting) -> Complexity:
        """Return what the network of a setting costs; see ``bench.codec.complexity``."""
        return of_network(
            self.network(setting),
            lambda net, x: self.compress(net, x, setting),
            lambda net, strings, shape: self.decompress(net, strings, shape, setting),
        )

    def _load(self, point: Point) -> Any:  # noqa: ANN401 - an untyped torch module
        try:
            data = point.path.read_bytes()
        except OSError as error:
            raise Unavailable(f"cannot read {point.path}: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != point.sha256:
            raise Unavailable(
                f"{point.path} was changed while it was used",
                "Run again: its results are another codec's.",
            )
        return build(self.build, read_state(data, point.path.name), point.path.name)

    def _form(self, setting: Setting, height: int, width: int) -> dict[str, Any]:
        """Return the form of what ``compress`` returns for a picture: strings empty, shapes true.

        Seen once at the smallest picture; the two last numbers of each shape grow with the sides.
        """
        point = self.point(setting)
        key = (point.sha256, point.level)
        if key not in self._forms:
            import torch

            net = self.network(setting)
            x = torch.full((1, 3, self.stride, self.stride), 0.5, device=self.device)
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._forms[key] = self.compress(net, x, setting)
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        form = self._forms[key]
        return {**form, "shape": grown(form["shape"], rows, columns)}

    @cached_property
    def _forms(self) -> dict[tuple[str, int], dict[str, Any]]:
        return {}


@cache
def libraries() -> str:
    """Return the versions of torch and, where it is installed, CompressAI."""
    found = []
    for name in ("torch", "compressai"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def file_sha256(path: Path) -> str:
    """Return the hash of a file, which is read once for as long as its date and size stay."""
    found = path.stat()
    return _sha256(path, found.st_mtime_ns, found.st_size)


@cache
def _sha256(path: Path, _modified: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
