"""The adapters: AG-VAE and its ablations as codecs of the suite.

Nothing here imports torch before the first image, so that listing codecs stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from bench.codec import FASTEST, Codec, Complexity, Parameter, Setting
from bench.codec.imports import without_collector
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.container import Header
from bench.codecs.agvae.model.config import LOWEST_LEVEL
from bench.codecs.agvae.runtime import precision as precisions
from bench.codecs.agvae.weights import checkpoints, ids
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.errors import DecodeError, SettingError, Unavailable
from bench.image import Image, check

if TYPE_CHECKING:
    from bench.codecs.agvae.runtime.engine import Engine
    from bench.stopwatch import Phases

LEVEL_STEPS = 256


class AgvaeCodec(Codec):
    """What all variants share; a variant is one name and one set of weights.

    Attributes
    ----------
    variant, preset, metric, branch
        Which weights: see ``checkpoints.find``.
    precision
        Of the transforms; empty: bfloat16 on CUDA, else float32. It moves pixels by a rounding,
        never the latent that a file decodes to.
    """

    suffix = ".agv"
    format_version = container.FORMAT_VERSION
    rate = "level"
    devices = ("cpu", "cuda")
    learned = True
    precisions = precisions.NAMES
    pixel_tolerance = 1
    ledger_decodes = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "level",
            4.0,
            "rate level, in steps of 1/256; trained from 0 on",
            low=LOWEST_LEVEL,
            high=7,
        ),
    )
    variant: ClassVar[str]
    preset: ClassVar[str] = "base"
    metric: ClassVar[str] = "mse"
    branch: ClassVar[bool] = False
    stage: ClassVar[str] = ""
    """First word of the stages of training that make the weights; empty: the preset's name."""
    below: ClassVar[int] = 0
    """Levels under the lowest trained one that the ladder begins with."""

    def __init__(self) -> None:
        self.networks: list[Manifest] = checkpoints.find(
            self.variant, preset=self.preset, metric=self.metric, branch=self.branch
        )
        if not self.networks:
            raise Unavailable(
                f"no {self.preset} {'branches' if self.branch else 'weights'} of {self.variant} "
                f"({self.metric}) are available",
                "Make them with `bench train-all --data FOLDER --only "
                f"'{self.stage or self.preset}-{self.variant}-{self.metric}*'`; TRAINING.md of "
                "AG-VAE says how.",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return the levels that the network was trained at, and those below it can do."""
        below = [float(level) for level in range(-self.below, 0)]
        return [Setting(level=level) for level in (*below, *self._levels)]

    def available_parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters; of networks without gain the level is one of theirs."""
        (level, *others), levels = self.parameters, self._levels
        config = self.networks[0].config
        if config.gain:
            level = replace(level, low=config.lowest_level, high=levels[-1])
        else:
            usual = min(levels, key=lambda one: abs(one - float(level.default)))
            level = Parameter("level", usual, "rate level: which network", choices=tuple(levels))
        return level, *others

    @cached_property
    def _levels(self) -> list[float]:
        return [level for network in self.networks for level in network.levels]

    def version(self) -> str:
        """Return the hash of the decoder's weights."""
        status = "" if self._released else ", development weights"
        return f"AG-VAE {ids.names_of(self.networks)}{status}"

    @property
    def _released(self) -> bool:
        return all(network.status == "released" for network in self.networks)

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return colour format and depth: the network sees RGB."""
        return "RGB 8-bit"

    def effort(self, setting: Setting) -> str:
        """Return how long the latents were refined, if they were."""
        return f"{setting['refine']} steps" if "refine" in setting else ""

    def note(self) -> str:
        """Return the manifest's caveats."""
        notes = [str(network.facts.get("note", "")) for network in self.networks]
        return "; ".join(dict.fromkeys(filter(None, notes)))

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with the format's magic bytes."""
        return container.is_agvae(data)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a file at the setting's level.

        Raises
        ------
        SettingError
            If a network without gain has not been trained at that level.
        """
        return self.encode_batch([image], [setting])[0]

    def encode_batch(
        self,
        images: Sequence[Image],
        settings: Sequence[Setting],
        phases: Phases | None = None,
    ) -> list[bytes]:
        """Return one file per image; images of one size and network are coded together."""
        groups: dict[tuple[Manifest, tuple[int, ...], int], list[int]] = {}
        for i, (image, setting) in enumerate(zip(images, settings, strict=True)):
            network, refine = self._network(self._steps(setting)), int(setting.get("refine", 0))
            groups.setdefault((network, check(image).shape, refine), []).append(i)
        files: dict[int, bytes] = {}
        for (network, _, refine), members in groups.items():
            steps = [self._steps(settings[i]) for i in members]
            engine = self._engine_for(network)
            coded = engine.encode([images[i] for i in members], steps, phases, refine)
            files |= zip(members, coded, strict=True)
        return [files[i] for i in range(len(images))]

    def decode(self, data: bytes) -> Image:
        """Return the image; the file says which weights it needs, of any variant."""
        return self.decode_batch([data])[0]

    def decode_batch(self, files: Sequence[bytes], phases: Phases | None = None) -> list[Image]:
        """Return the image of each file; those of one size and network are decoded together.

        Raises
        ------
        DecodeError
            If a file is damaged or its weights are not available.
        """
        read = [container.read(data) for data in files]
        groups: dict[tuple[Manifest, int, int, int], list[int]] = {}
        for i, (header, _) in enumerate(read):
            kind = (self._network_of(header), header.tables, header.width, header.height)
            groups.setdefault(kind, []).append(i)
        images: dict[int, Image] = {}
        for (network, tables, *_), members in groups.items():
            engine = self._decoder(network, tables)
            decoded = engine.decode([read[i] for i in members], phases)
            images |= zip(members, decoded, strict=True)
        return [images[i] for i in range(len(files))]

    def encode_to_rate(
        self,
        image: Image,
        bpp: float,
        tolerance: float = 0.01,
        base: Setting = Setting(),  # noqa: B008 - immutable
    ) -> tuple[bytes, Setting]:
        """Return the file whose real size comes nearest to a rate, and its setting.

        Log bpp is nearly linear in the level, so a bracketed secant needs a few encodes; g_a runs
        once for all of them.

        Parameters
        ----------
        image
            uint8 RGB (H, W, 3).
        bpp
            Target in bits per pixel of the whole file; beyond the ends of the curve, the end is
            the nearest.
        tolerance
            Relative distance at which the search stops.
        base
            Options to hold: ``refine``.
        """
        from bench.codecs.agvae.runtime.rate_search import search

        pixels = image.shape[0] * image.shape[1]
        files: dict[int, bytes] = {}

        def bits_per_pixel(steps: int) -> float:
            files[steps] = self.encode(image, base.replace(level=steps / LEVEL_STEPS))
            return 8 * len(files[steps]) / pixels

        steps = search(bits_per_pixel, self._searchable, bpp, tolerance)
        return files[steps], base.replace(level=steps / LEVEL_STEPS)

    def choose_precision(self, wanted: str) -> str:
        """Return a precision; ``fastest`` is bfloat16 wherever there are circuits for it."""
        if wanted == FASTEST:
            return precisions.fastest(self.device)
        return precisions.named(wanted, self.device)

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return the bytes of header, hyper-latent, each context pass and checksum.

        The coder's initial states, 4 bytes a lane, are counted with z.
        """
        header, payload = container.read(data)
        sizes = self._engine_of(header).part_sizes(header, payload)
        names = ("z", "pass 0", "pass 1", "pass 2", "pass 3")
        return {
            "header": len(header.to_bytes()),
            **dict(zip(names, sizes, strict=True)),
            "checksum": container.CHECKSUM_BYTES,
        }

    @property
    def weights_sha256(self) -> str:
        """The hashes of the weight files, encoder included."""
        return ",".join(dict.fromkeys(network.sha256 for network in self.networks))

    def complexity(self, setting: Setting) -> Complexity:  # noqa: ARG002
        """Return what the network costs; those of all levels have one size."""
        from bench.codecs.agvae.model.complexity import of_config

        first = self.networks[0]
        return of_config((first.whole or first).config)

    def facts(self, data: bytes) -> dict[str, str]:
        """Return what a file's header says, in words, for ``bench info``.

        Raises
        ------
        DecodeError
            If the file is damaged or of another format.
        """
        header, _ = container.read(data)
        wanted = header.model_id.hex()
        names = [m.name for m in checkpoints.manifests() if wanted in m.ids]
        return {
            "image": f"{header.width}x{header.height} RGB 8-bit",
            "level": f"{header.level:g}",
            "weights": f"{wanted} ({names[0] if names else 'not available'})",
            "format": f"version {header.version}, {header.lanes} rANS lanes, {header.coded}",
        }

    @property
    def _searchable(self) -> Sequence[int]:
        """Levels that a rate search may choose, in steps."""
        config = self.networks[0].config
        if config.gain:
            return range(config.lowest_level * LEVEL_STEPS, int(self._levels[-1]) * LEVEL_STEPS + 1)
        return [round(level * LEVEL_STEPS) for level in self._levels]

    def _steps(self, setting: Setting) -> int:
        level = self.available_parameters()[0].check(setting["level"])
        return round(float(level) * LEVEL_STEPS)

    def _engine(self, steps: int) -> Engine:
        return self._engine_for(self._network(steps))

    def _network(self, steps: int) -> Manifest:
        for network in self.networks:
            if network.level is None or round(network.level * LEVEL_STEPS) == steps:
                return network
        raise SettingError(f"{self.name} has no weights for level {steps / LEVEL_STEPS:g}")

    def _engine_for(self, network: Manifest, tables: int | None = None) -> Engine:
        """Return the engine of a network, to decode files of one choice of tables or for all."""
        if "bench.codecs.agvae.engines" not in sys.modules:
            from bench.codecs.agvae.weights import ahead

            ahead.begin(network, None if tables is None else [tables])
        with _without_collector():
            from bench.codecs.agvae.engines import engine_for

        return engine_for(network, self.device, self.precision)

    def _network_of(self, header: Header) -> Manifest:
        """Return the network that decodes a file; of a conditional one that of its level."""
        wanted = header.model_id.hex()
        own: list[Manifest] = [n for n in self.networks if wanted in n.ids]
        try:
            networks = own or checkpoints.by_model_id(wanted).networks
        except Unavailable as error:
            raise DecodeError(error.what, error.next_step) from error
        for network in networks:
            if network.whole is None or network.level == header.level:
                return network
        levels = ", ".join(f"{network.level:g}" for network in networks)
        raise DecodeError(f"level {header.level:g} is none of this network's, {levels}")

    def _engine_of(self, header: Header) -> Engine:
        return self._decoder(self._network_of(header), header.tables)

    def _decoder(self, network: Manifest, tables: int) -> Engine:
        try:
            return self._engine_for(network, tables)
        except Unavailable as error:
            raise DecodeError(error.what, error.next_step) from error


def _without_collector() -> AbstractContextManager[None]:
    """Keep the garbage collector from looking through what importing torch makes.

    All of it stays until the process ends. Looking through it meanwhile, and once more at the end,
    takes 0.7 CPU s of 2.4.
    """
    return nullcontext() if "torch" in sys.modules else without_collector()


class Agvae(AgvaeCodec):
    """One gained network, asymmetric Gaussian entropy model: the paper's codec."""

    name = "agvae"
    display = "AG-VAE"
    title = "AG-VAE: gain units, asymmetric Gaussian (Cui et al. 2021)"
    variant = "gain-asym"
    below = -LOWEST_LEVEL


class AgvaeMsSsim(AgvaeCodec):
    """One gained network, asymmetric Gaussian entropy model, fine-tuned for MS-SSIM."""

    name = "agvae-ms-ssim"
    display = "AG-VAE MS-SSIM"
    title = "AG-VAE optimised for MS-SSIM: gain units, asymmetric Gaussian"
    variant = "gain-asym"
    metric = "ms-ssim"
    below = -LOWEST_LEVEL


_REFINED = (
    *AgvaeCodec.parameters,
    Parameter("refine", 25, "steps of descent on the latents of each image", low=0, high=5000),
)


class AgvaeRefined(Agvae):
    """The default network, asymmetric Gaussian, latents refined for PSNR."""

    name = "agvae-refined"
    display = "AG-VAE refined"
    title = "AG-VAE, latents refined per image"
    parameters = _REFINED
    in_default_run = False


class AgvaeMsSsimRefined(AgvaeMsSsim):
    """The network trained for MS-SSIM, latents refined for MS-SSIM."""

    name = "agvae-ms-ssim-refined"
    display = "AG-VAE MS-SSIM refined"
    title = "AG-VAE optimised for MS-SSIM, latents refined per image"
    parameters = _REFINED
    in_default_run = False


class AgvaeSmall(AgvaeCodec):
    """A small network of the paper's codec, for tests and the gate."""

    name = "agvae-small"
    display = "AG-VAE small"
    title = "AG-VAE, small preset: gain units, asymmetric Gaussian"
    variant = "gain-asym"
    preset = "small"
    in_default_run = False
