"""One network, ready to turn images into files and files into images."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.bitstream.container import Header
from bench.codecs.agvae.bitstream.latent_coder import LatentCoder, Stream
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS, ExactEntropyNetworks
from bench.codecs.agvae.integer.fixed_point import STEP
from bench.codecs.agvae.model import model
from bench.codecs.agvae.model.config import Config, latent_size
from bench.codecs.agvae.model.gain_units import at_level
from bench.codecs.agvae.runtime.refinement import refined
from bench.codecs.agvae.runtime.refinement_loss import Objective
from bench.codecs.agvae.runtime.tiled_transforms import Transforms
from bench.codecs.agvae.threads import at_once
from bench.codecs.agvae.weights import ahead, checkpoints
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.codecs.agvae.weights.counted import coding_tables
from bench.errors import DecodeError
from bench.image import Image
from bench.stopwatch import Phases

_REMEMBERED = 1000  # files, a few hundred bytes each


class Engine:
    """Encoder and decoder of one set of weights on one device.

    Networks are built when they are first needed, so a decoder never holds g_a. ``precision`` is
    that of g_a and g_s; no choice changes what a file decodes to before g_s.
    """

    def __init__(
        self,
        manifest: Manifest,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.manifest = manifest
        self.config = manifest.config.as_stored
        self._device, self._precision = torch.device(device), precision
        self._tensors = ahead.take(manifest) or checkpoints.load(manifest)
        self._lock = threading.Lock()
        self._last: tuple[bytes, Tensor] | None = None
        self._sizes: dict[bytes, list[int]] = {}

    def encode(
        self,
        images: Sequence[Image],
        level_steps: Sequence[int],
        phases: Phases | None = None,
        refine: int = 0,
    ) -> list[bytes]:
        """Return one file per image, uint8 RGB (H, W, 3); all have the same size.

        ``level_steps`` are in steps of 1/256; ``refine`` is the number of steps that the encoder
        descends on the latents of each image, see ``refinement.py``.
        """
        clock = phases or Phases()
        self._build("_analysis", "coder")
        with clock("analysis"):
            y, z = self._gained_batch(images, level_steps)
        if refine:
            with clock("refinement"):
                y, z = self._refined_batch(images, y, z, level_steps, refine)
        streams = self.coder.encode(y, z, level_steps, clock)
        height, width = images[0].shape[:2]
        model_id = bytes.fromhex(self.manifest.file_id)
        return [
            container.write(
                Header(model_id, width, height, steps, stream.lanes, stream.tables), stream.data
            )
            for steps, stream in zip(level_steps, streams, strict=True)
        ]

    def decode(
        self, files: Sequence[tuple[Header, bytes]], phases: Phases | None = None
    ) -> list[Image]:
        """Return the image of each file (header and payload); all have the same size.

        Raises
        ------
        DecodeError
            If a payload is damaged.
        """
        clock = phases or Phases()
        self._build("coder", "synthesis")
        sizes: list[list[int]] = []
        y_hat = self.decode_latents(files, clock, sizes)
        for (header, payload), known in zip(files, sizes, strict=True):
            self._remember(header, payload, known)
        images = []
        for (header, _), latent in zip(files, y_hat, strict=True):
            with clock("synthesis"):
                y = latent / STEP * self.gain("gain_y.log_inverse", header.level_steps)
                images.append(self.synthesis.synthesise(y, (header.height, header.width)))
        return images

    def part_sizes(self, header: Header, payload: bytes) -> list[int]:
        """Return the payload bytes of z and of each pass; a file decoded lately is not again.

        Raises
        ------
        DecodeError
            As of ``decode_latents``.
        """
        known = self._sizes.get(_digest(header, payload))
        if known is None:
            sizes: list[list[int]] = []
            self.decode_latents([(header, payload)], sizes_bytes=sizes)
            known = self._remember(header, payload, sizes[0])
        return known

    def _remember(self, header: Header, payload: bytes, sizes: list[int]) -> list[int]:
        with self._lock:
            self._sizes[_digest(header, payload)] = sizes
            if len(self._sizes) > _REMEMBERED:
                del self._sizes[next(iter(self._sizes))]
        return sizes

    def decode_latents(
        self,
        files: Sequence[tuple[Header, bytes]],
        phases: Phases | None = None,
        sizes_bytes: list[list[int]] | None = None,
    ) -> Tensor:
        """Return y_hat in steps of 2^-8, (B, H, W, M): integers, the same on every machine.

        Raises
        ------
        DecodeError
            If a payload is damaged or a level is none of this network's.
        """
        y_hat, check = self._decode_later(files, phases or Phases(), sizes_bytes)
        check()
        return y_hat

    def _decode_later(
        self,
        files: Sequence[tuple[Header, bytes]],
        phases: Phases,
        sizes_bytes: list[list[int]] | None = None,
    ) -> tuple[Tensor, Callable[[], None]]:
        """Return y_hat, and a function that raises ``DecodeError`` if a payload is damaged."""
        lowest, top = self.config.lowest_level, self.config.levels - 1
        for header, _ in files:
            if not lowest * LEVEL_STEPS <= header.level_steps <= top * LEVEL_STEPS:
                raise DecodeError(
                    f"level {header.level:g} is none of this network's, {lowest} to {top}"
                )
        first = files[0][0]
        return self.coder.decode_later(
            [Stream(payload, header.lanes, header.tables) for header, payload in files],
            [header.level_steps for header, _ in files],
            latent_size(first.height, first.width),
            phases,
            sizes_bytes,
        )

    def _gained_batch(
        self, images: Sequence[Image], level_steps: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return gained y and gained z of images of one size, before rounding."""
        return _stacked(self.gained(i, s) for i, s in zip(images, level_steps, strict=True))

    def _refined_batch(
        self,
        images: Sequence[Image],
        y: Tensor,
        z: Tensor,
        level_steps: Sequence[int],
        steps: int,
    ) -> tuple[Tensor, Tensor]:
        """Return better latents than ``_gained_batch`` found, image by image."""
        return _stacked(
            refined(self._objective, image, one_y, one_z, self._level(at), steps)
            for image, one_y, one_z, at in zip(images, y, z, level_steps, strict=True)
        )

    def _level(self, level_steps: int) -> float:
        """Return the level that decides how rate and distortion are weighed."""
        own = self.manifest.level
        return level_steps / LEVEL_STEPS if own is None else own

    def gained(
        self, image: Image, level_steps: int, hyper_level_steps: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return gained y, (H, W, M), and gained z, (h, w, hyper), of an image, before rounding.

        z is gained as at another level where one is given.
        """
        z_steps = level_steps if hyper_level_steps is None else hyper_level_steps
        y = self._analyse(image) * self.gain("gain_y.log_gain", level_steps)
        return y, self._analysis.hyper_analyse(y) * self.gain("gain_z.log_gain", z_steps)

    def _analyse(self, image: Image) -> Tensor:
        """Return y; the last image's is kept, so that a ladder of levels runs g_a once."""
        image = np.ascontiguousarray(image)
        key = hashlib.blake2b(image.data, digest_size=16, person=b"agvae").digest()
        key += repr(image.shape).encode()
        with self._lock:
            if self._last is None or self._last[0] != key:
                self._last = None  # let the old one go before the new one is made
                self._last = (key, self._analysis.analyse(image))
            return self._last[1]

    def gain(self, name: str, level_steps: int) -> Tensor:
        """Return the gains of a level, (C,), or a one without gain."""
        if not self.config.gain:
            return torch.ones(1, device=self._device)
        level = torch.tensor([level_steps / LEVEL_STEPS], device=self._device)
        return at_level(self._tensors[name].to(self._device), level).flatten()

    def _net(self, name: str, make: Callable[[Config], nn.Module]) -> nn.Module:
        """Return one part of the network, with its weights.

        They are assigned, not copied: for room for a copy (``to_empty``), PyTorch imports SymPy.
        """
        with torch.device("meta"):
            net = make(self.config)
        prefix = f"{name}."
        state = {k[len(prefix) :]: v for k, v in self._tensors.items() if k.startswith(prefix)}
        net.load_state_dict(state, assign=True)
        return net

    def _build(self, *parts: str) -> None:
        """Build parts that are missing, on a CPU side by side: each keeps one core busy."""
        missing = [part for part in parts if part not in vars(self)]
        if self._device.type == "cpu":
            at_once(partial(getattr, self), missing)

    def _analysis_nets(self) -> tuple[nn.Module, nn.Module]:
        """Return g_a and h_a, with their weights."""
        return self._net("g_a", model.analysis), self._net("h_a", model.hyper_analysis)

    def _synthesis_net(self) -> nn.Module:
        """Return g_s, with its weights."""
        return self._net("g_s", model.synthesis)

    def _entropy_tensors(self) -> dict[str, Tensor]:
        """Return the weights of the exact networks."""
        prefixes = ("h_s.", "context.", "gain_z.")
        return {k: v for k, v in self._tensors.items() if k.startswith(prefixes)}

    @cached_property
    def tables(self) -> CodingTables:
        """The coder's tables."""
        return ahead.take_tables(self.manifest) or coding_tables(self.manifest, self._tensors)

    @cached_property
    def _analysis(self) -> Transforms:
        g_a, h_a = self._analysis_nets()
        return Transforms(
            self.config,
            g_a=g_a,
            h_a=h_a,
            device=self._device,
            precision=self._precision,
        )

    @cached_property
    def _objective(self) -> Objective:
        return Objective(self.config, self._tensors, self.manifest.metric, self._device)

    @cached_property
    def synthesis(self) -> Transforms:
        """g_s, ready to run."""
        g_s = self._synthesis_net()
        return Transforms(self.config, g_s=g_s, device=self._device, precision=self._precision)

    @cached_property
    def coder(self) -> LatentCoder:
        """The coder of y and z."""
        nets = ExactEntropyNetworks(self._entropy_tensors(), self.config, self._device)
        return LatentCoder(nets, self.tables)


def _digest(header: Header, payload: bytes) -> bytes:
    return hashlib.blake2b(header.to_bytes() + payload, digest_size=16).digest()


def _stacked(latents: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return y and z of several images as one batch each; of one, without a copy."""
    y, z = (
        part[0][None] if len(part) == 1 else torch.stack(part)
        for part in zip(*latents, strict=True)
    )
    return y, z
