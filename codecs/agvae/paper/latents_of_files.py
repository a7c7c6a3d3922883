"""AG-VAE from the inside: latents, gains, symbols and scales of real files.

Everything here goes through the parts that the codec itself runs (``codecs/agvae``), so what a
figure shows is what a file holds: ``reconstruct(latents(file))`` is ``decode(file)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import registry
from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import AgvaeCodec
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS, Quarter, reconstruct
from bench.codecs.agvae.integer.fixed_point import STEP
from bench.codecs.agvae.model.config import PASSES, latent_size
from bench.codecs.agvae.model.split_normal import SCALE_MAX, SCALE_MIN
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.errors import CodecError
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image, pixels_sha256
from bench.output.figure import Skipped
from bench.output.provenance import Stamp
from bench.stopwatch import Phases

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Every coded latent of one file; all arrays (N,), in coding order.

    Attributes
    ----------
    residual
        y - mu before rounding.
    symbol
        The integer that is coded.
    left, right
        Scales s_l and s_r, held inside the coder's range.
    channel
        Of the latent.
    """

    residual: Floats
    symbol: Floats
    left: Floats
    right: Floats
    channel: NDArray[np.int64]


class Probe:
    """The network behind one AG-VAE codec.

    Raises
    ------
    Skipped
        If it is not an AG-VAE, or its weights are not available.
    """

    def __init__(self, name: str) -> None:
        try:
            codec = registry.create(name)
        except CodecError as error:
            raise Skipped(error.what, error.next_step) from error
        if not isinstance(codec, AgvaeCodec):
            raise Skipped(f"{name} is not an AG-VAE: it has no latents to look into")
        self.codec = codec
        self.networks = codec.networks
        self.manifest: Manifest = self.networks[0]
        self.config = self.manifest.config

    @property
    def key(self) -> dict[str, str]:
        """What identifies the network in a cache."""
        version = f"{self.codec.version()} format {self.codec.format_version}"
        return {"codec": self.codec.name, "version": version, "weights": self.manifest.sha256}

    @property
    def weights(self) -> dict[str, str]:
        """What a stamp says of the network."""
        return {f"{self.manifest.name} weights": self.manifest.sha256}

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor of the network by state-dict name."""
        return checkpoints.load(self.manifest)

    def log_table(self, name: str) -> Floats:
        """Return a table of natural log-gains, (levels, channels): ``gain_y.log_gain``, say.

        Raises
        ------
        Skipped
            If the network has no gain units.
        """
        if name not in self.tensors:
            raise Skipped(f"{self.manifest.name} has no gain units")
        return self.tensors[name].double().numpy()

    def encode(self, image: Image, level: float) -> bytes:
        """Return a file at a real level."""
        return self.codec.encode(image, Setting(level=level))

    def latents(self, data: bytes) -> Tensor:
        """Return y_hat of a file, (H, W, M)."""
        steps = self._engine.decode_latents([container.read(data)])
        return steps[0] / STEP

    def reconstruct(self, y_hat: Tensor, level: float, size: tuple[int, int]) -> Image:
        """Return the image, uint8 RGB of ``size`` (rows, columns), that latents stand for."""
        inverse = self._engine.gain("gain_y.log_inverse", _steps(level))
        return self._engine.synthesis.synthesise(y_hat * inverse, size)

    def payload_bytes(self, image: Image, level: float, hyper_level: float) -> int:
        """Return the real coded size of y and z with z gained as at another level.

        A decoder that knew both levels would decode it; nothing is retrained.
        """
        y, z = self._engine.gained(image, _steps(level), _steps(hyper_level))
        coder = self._engine.coder
        [stream] = coder.encode(y[None], z[None], [_steps(hyper_level)], Phases())
        return len(stream.data)

    @torch.no_grad()
    def symbols(self, image: Image, level: float) -> Symbols:
        """Return what the encoder codes of y, and with which scales."""
        networks = self._engine.coder.networks
        y, z = (part[None] for part in self._engine.gained(image, _steps(level)))
        z_hat = z.round().to(torch.int32)
        psi = networks.hyper_features(z_hat, [_steps(level)], latent_size(*image.shape[:2]))
        y_hat = torch.zeros_like(psi)
        found: list[Symbols] = []
        for k in range(PASSES):
            for q in networks.quarters(k, psi, y_hat):
                part = y[:, q.rows, q.columns, q.channels]
                found.append(_symbols(part, q))
                residual = (part - q.mu / STEP).round_()
                y_hat[:, q.rows, q.columns, q.channels] = reconstruct(residual, q.mu)
        names = ("residual", "symbol", "left", "right", "channel")
        joined = (np.concatenate([getattr(part, name) for part in found]) for name in names)
        return Symbols(*joined)

    @property
    def _engine(self) -> Engine:
        return engine_for(self.manifest, "cpu")


def measured(
    context: Context,
    entry: Entry,
    probe: Probe,
    names: Sequence[str],
    measure: Callable[..., pd.DataFrame],
    *,
    version: int,
    **options: float,
) -> tuple[pd.DataFrame, Stamp]:
    """Return the rows of ``measure(probe, images, *options)``, made once, and their stamp.

    A ``version`` of the measurement, the network, the images' pixels and the options say whether
    it was made before.
    """
    images = {name: context.image(name) for name in names}
    pixels = [[name, pixels_sha256(image)] for name, image in images.items()]
    key = {"version": version, "network": probe.key, "pixels": pixels, **options}
    done = context.measure(entry.kind, key, partial(measure, probe, images, *options.values()))
    return done.frame, context.stamp_of(done, images, probe.weights)


def _steps(level: float) -> int:
    return round(level * LEVEL_STEPS)


def _symbols(y: Tensor, quarter: Quarter) -> Symbols:
    """Return the symbols of a quarter of one image."""
    residual = (y - quarter.mu / STEP).double()
    scales = [
        torch.exp(steps.double() / STEP).clamp(SCALE_MIN, SCALE_MAX).flatten().numpy()
        for steps in (quarter.left, quarter.right)
    ]
    channel = torch.arange(quarter.channels.start, quarter.channels.stop).expand(residual.shape)
    return Symbols(
        residual.flatten().numpy(),
        residual.round().flatten().numpy(),
        scales[0],
        scales[1],
        channel.flatten().numpy(),
    )
