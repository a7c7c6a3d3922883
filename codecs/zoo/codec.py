"""CompressAI's zoo of learned codecs, as real files: ``compressai-mbt2018-mean`` and its sisters.

Ballé, Minnen, Singh, Hwang, Johnston, ICLR 2018; Minnen, Ballé, Toderici, NeurIPS 2018; Cheng,
Sun, Takeuchi, Katto, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from bench.codec import Parameter, Setting, rans_bounds
from bench.codec.tensor_file import DAMAGED
from bench.codec.torch_codec import TorchCodec
from bench.codecs import _compressai
from bench.codecs.zoo.container import MAGIC, File
from bench.codecs.zoo.weights import (
    METRICS,
    at_hand,
    build,
    fetch_weights,
    load,
    places,
    published,
)
from bench.errors import DecodeError, Unavailable, UsageError


class _Zoo(TorchCodec):
    """One architecture; the weights that are available make its ladder.

    The files are those of the zoo's first day, not of ``TorchCodec``: see ``container``.
    """

    suffix = ".cai"
    in_default_run = False

    arch: ClassVar[str]
    model: ClassVar[int]
    strings: ClassVar[int] = 2
    stems: ClassVar[Sequence[str]]
    """What the names of weights begin with, for each of ``METRICS``."""

    @classmethod
    def fetch(cls, tell: Callable[[str], object]) -> list[Path]:
        """Download the published MSE weights of this architecture, for ``bench fetch``."""
        return fetch(cls.name, progress=lambda done, _: tell(f"{cls.name}: {done / 1e6:.0f} MB"))

    def __init__(self) -> None:
        self._library = _compressai.installed().version
        self._weights = at_hand(self.stems)
        if not self._weights:
            raise Unavailable(
                f"no weights available: looked for {self.stems[0]}-*.pth.tar in "
                f"{', '.join(str(place) for place in places())}",
                f"Download them: bench fetch {self.name}",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return the qualities whose weights are available; all 8 span about 0.1 to 2 bpp."""
        metric = min((metric for metric, _ in self._weights), key=METRICS.index)
        qualities = sorted(quality for found, quality in self._weights if found == metric)
        return [Setting(quality=quality, metric=metric) for quality in qualities]

    def available_parameters(self) -> list[Parameter]:
        """Return the parameters, with the qualities and metrics that weights are here for."""
        metrics, qualities = map(set, zip(*self._weights, strict=True))
        here = {"quality": tuple(sorted(qualities)), "metric": tuple(sorted(metrics))}
        usual = self.ladder()[len(self.ladder()) // 2]
        return [
            replace(one, default=usual[one.name], choices=here[one.name]) for one in self.parameters
        ]

    def version(self) -> str:
        """Return CompressAI's version, and the fingerprints of weights that are not its own."""
        own = [found.fingerprint.hex() for found in self._weights.values() if not found.published]
        return f"compressai {self._library}" + "".join(f", own weights {h}" for h in sorted(own))

    def describe(self, setting: Setting) -> str:
        """Return sample format and depth, and the metric that the weights were trained for."""
        return f"RGB 8-bit {setting.get('metric', 'mse')}"

    def pack(self, coded: dict[str, Any], setting: Setting, height: int, width: int) -> bytes:
        """Return a self-contained file: the strings, every shape, model, quality and checksum."""
        rows, columns = coded["shape"]
        metric, quality = _key(setting)
        return File(
            version=self.format_version,
            model=self.model,
            metric=METRICS.index(metric),
            quality=quality,
            weights=self._weights[metric, quality].fingerprint,
            width=width,
            height=height,
            shape=(int(rows), int(columns)),
            strings=tuple(string[0] for string in coded["strings"]),
        ).pack()

    def unpack(self, data: bytes) -> tuple[Setting, int, int, dict[str, Any]]:
        """Return what ``pack`` was given, if the weights that wrote the file are here."""
        file = self._read(data)
        metric = METRICS[file.metric]
        known = self._weights.get((metric, file.quality))
        if known and known.fingerprint != file.weights:
            raise DecodeError(
                f"{self.name} file wants weights {file.weights.hex()}, found {known.path.name}",
                "Put the weights that wrote it in their place.",
            )
        coded = {"strings": [[string] for string in file.strings], "shape": file.shape}
        setting = Setting(quality=file.quality, metric=metric)
        return setting, file.height, file.width, coded

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins like a file of this architecture."""
        return data[:4] == MAGIC and data[5:6] == bytes([self.model])

    def facts(self, data: bytes) -> dict[str, str]:
        """Return size and weights of a file, for ``bench info``."""
        file = self._read(data)
        return {
            "image": f"{file.width}x{file.height} RGB 8-bit",
            "weights": f"{file.weights.hex()}, quality {file.quality}, {METRICS[file.metric]}",
        }

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return header and checksum, hyperprior (z) and latent (y) bytes."""
        latent, *hyper = [len(string) for string in self._read(data).strings]
        header = len(data) - latent - sum(hyper)
        return {"header": header, "side_information": sum(hyper), "payload": latent}

    @property
    def weights_sha256(self) -> str:
        """The first 8 hex digits of each, which the files carry."""
        return ",".join(found.fingerprint.hex() for _, found in sorted(self._weights.items()))

    def _read(self, data: bytes) -> File:
        """Return the parts of a file, checked against this architecture.

        Raises
        ------
        DecodeError
            If it is damaged, or of another codec.
        """
        file = File.unpack(data)
        found, wanted = (file.version, file.model), (self.format_version, self.model)
        if found != wanted or file.metric >= len(METRICS):
            raise DecodeError(
                f"{self.name} wants format and model {wanted}, found {found}",
                "Decode it with the codec that wrote it.",
            )
        shape = (-(-file.height // self.stride), -(-file.width // self.stride))
        if file.shape != shape or len(file.strings) != self.strings:
            raise DecodeError(
                f"{file.width}x{file.height} pixels need a latent of {shape} and {self.strings} "
                f"strings, found {file.shape} and {len(file.strings)}",
                DAMAGED,
            )
        return file

    def network(self, setting: Setting) -> Any:  # noqa: ANN401 - an untyped torch module
        """Return the network on ``device``, loaded once.

        Raises
        ------
        Unavailable
            If its weights are missing or damaged.
        """
        metric, quality = _key(setting)
        if (metric, quality) not in self._weights:
            raise Unavailable(
                f"{self.name} has no weights of quality {quality} for {metric} available",
                f"Download them: bench fetch {self.name}",
            )
        weights = self._weights[metric, quality]
        key = (weights.fingerprint.hex(), self.device)
        if key not in self._networks:
            self._networks[key] = load(self.arch, weights).to(self.device)
            rans_bounds.harden(self._networks[key])
        return self._networks[key]

    def build(self, state: dict[str, Any]) -> Any:  # noqa: ANN401 - an untyped torch module
        """Return the network of a state dictionary, with the tables that it holds."""
        return build(self.arch, state)


def _key(setting: Setting) -> tuple[str, int]:
    """Return metric and quality."""
    return str(setting.get("metric", "mse")), int(setting["quality"])


def _parameters(most: int) -> tuple[Parameter, ...]:
    return (
        Parameter("quality", 4, "CompressAI's quality: which weights", low=1, high=most),
        Parameter("metric", "mse", "what the weights were trained for", choices=METRICS),
    )


class Factorized(_Zoo):
    """Ballé et al. 2018: one latent under a learned factorised density."""

    name = "compressai-bmshj2018-factorized"
    display = "CompressAI bmshj2018-factorized"
    title = "Ballé 2018, factorised prior (CompressAI zoo)"
    parameters = _parameters(8)
    arch = "bmshj2018-factorized"
    model = 1
    stride = 16
    strings = 1
    stems = ("bmshj2018-factorized-prior", "bmshj2018-factorized-ms-ssim")


class Hyperprior(_Zoo):
    """Ballé et al. 2018: Gaussian scales from a hyperprior."""

    name = "compressai-bmshj2018-hyperprior"
    display = "CompressAI bmshj2018-hyperprior"
    title = "Ballé 2018, scale hyperprior (CompressAI zoo)"
    parameters = _parameters(8)
    arch = "bmshj2018-hyperprior"
    model = 2
    stems = ("bmshj2018-hyperprior", "bmshj2018-hyperprior-ms-ssim")


class MeanScale(_Zoo):
    """Minnen et al. 2018 without context: Gaussian means and scales from a hyperprior."""

    name = "compressai-mbt2018-mean"
    display = "CompressAI mbt2018-mean"
    title = "Minnen 2018, mean-scale hyperprior (CompressAI zoo)"
    parameters = _parameters(8)
    arch = "mbt2018-mean"
    model = 3
    stems = ("mbt2018-mean", "mbt2018-mean-ms-ssim")


class Joint(_Zoo):
    """Minnen et al. 2018: hyperprior and autoregressive context, one position after another."""

    name = "compressai-mbt2018"
    display = "CompressAI mbt2018"
    title = "Minnen 2018, autoregressive (CompressAI zoo; slow)"
    parameters = _parameters(8)
    devices = ("cpu",)  # CompressAI advises against others: the loop runs on the host
    arch = "mbt2018"
    model = 4
    stems = ("mbt2018", "mbt2018-ms-ssim")


class ChengAnchor(_Zoo):
    """Cheng et al. 2020 with residual blocks; autoregressive, single Gaussians."""

    name = "compressai-cheng2020-anchor"
    display = "CompressAI cheng2020-anchor"
    title = "Cheng 2020, anchor (CompressAI zoo; slow)"
    parameters = _parameters(6)
    devices = ("cpu",)
    arch = "cheng2020-anchor"
    model = 5
    stems = ("cheng2020-anchor", "cheng2020_anchor-ms-ssim")


class ChengAttention(_Zoo):
    """Cheng et al. 2020 with attention blocks; autoregressive, single Gaussians."""

    name = "compressai-cheng2020-attn"
    display = "CompressAI cheng2020-attn"
    title = "Cheng 2020, attention (CompressAI zoo; slow)"
    parameters = _parameters(6)
    devices = ("cpu",)
    arch = "cheng2020-attn"
    model = 6
    stems = ("cheng2020_attn-mse", "cheng2020_attn-ms-ssim")


def fetch(
    name: str, metric: str = "mse", progress: Callable[[int, int], object] | None = None
) -> list[Path]:
    """Return the files of all published weights of a codec, downloading what is not available.

    ``metric`` is ``mse`` or ``ms-ssim``; ``progress`` hears of bytes done and bytes in all.

    Raises
    ------
    UsageError
        If no codec of this module has that name.
    Unavailable
        If a file cannot be downloaded; those before it stay.
    """
    archs = {cls.name: cls.arch for cls in _Zoo.__subclasses__()}
    if name not in archs:
        raise UsageError(f"unknown zoo codec {name!r}", f"Known: {', '.join(archs)}.")
    arch = archs[name]
    return [fetch_weights(arch, q, metric, progress) for q in sorted(published(arch, metric))]
