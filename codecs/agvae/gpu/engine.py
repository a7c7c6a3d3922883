"""One network on a CUDA device: batches go through as one, and hosts and device overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.container import Header
from bench.codecs.agvae.gpu.entropy_networks import MAX_POSITIONS, FusedNetworks
from bench.codecs.agvae.gpu.latent_coder import DeviceLatentCoder
from bench.codecs.agvae.gpu.transforms import DeviceTransforms
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS
from bench.codecs.agvae.integer.fixed_point import STEP
from bench.codecs.agvae.model.config import latent_size
from bench.codecs.agvae.model.gain_units import at_level
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.image import Image
from bench.stopwatch import Phases


class DeviceEngine(Engine):
    """``Engine`` that keeps everything between pixels and bytes on the device.

    ``graphs`` says whether to replay CUDA graphs for shapes that come again.
    """

    def __init__(
        self,
        manifest: Manifest,
        device: str = "cuda",
        precision: torch.dtype = torch.bfloat16,
        *,
        graphs: bool = True,
    ) -> None:
        super().__init__(manifest, device, precision)
        self._graphs = graphs

    def encode(
        self,
        images: Sequence[Image],
        level_steps: Sequence[int],
        phases: Phases | None = None,
        refine: int = 0,
    ) -> list[bytes]:
        """Return one file per image; see ``Engine.encode``."""
        size = (images[0].shape[0], images[0].shape[1])
        return [
            data
            for part in _chunks(size, len(images))
            for data in super(DeviceEngine, self).encode(
                images[part], level_steps[part], phases, refine
            )
        ]

    def decode(
        self, files: Sequence[tuple[Header, bytes]], phases: Phases | None = None
    ) -> list[Image]:
        """Return the image of each file; see ``Engine.decode``."""
        clock = phases or Phases()
        first = files[0][0]
        size = (first.height, first.width)
        return [
            image
            for part in _chunks(size, len(files))
            for image in self._decode_chunk(files[part], size, clock)
        ]

    def _decode_chunk(
        self, files: Sequence[tuple[Header, bytes]], size: tuple[int, int], clock: Phases
    ) -> list[Image]:
        """Return the image of each file; all work is enqueued before any is awaited."""
        gains = self._gains("gain_y.log_inverse", [header.level_steps for header, _ in files])
        y_hat, check = self._decode_later(files, clock)
        with clock("synthesis"):
            images = self.synthesis.synthesise_batch(y_hat / STEP * gains, size)
        check()
        with clock("synthesis"):
            return images()

    def _gained_batch(
        self, images: Sequence[Image], level_steps: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return gained y and gained z of images of one size, before rounding."""
        gain_y = self._gains("gain_y.log_gain", level_steps)
        gain_z = self._gains("gain_z.log_gain", level_steps)
        y = self._analysis.analyse_batch(images).mul_(gain_y)
        return y, self._analysis.hyper_analyse_batch(y) * gain_z

    def _gains(self, name: str, level_steps: Sequence[int]) -> Tensor:
        """Return the gains of levels on the device, (B, 1, 1, C) or ones without gain."""
        if not self.config.gain:
            return torch.ones(1, device=self._device)
        levels = torch.tensor(level_steps) / LEVEL_STEPS
        return at_level(self._tensors[name], levels).permute(0, 2, 3, 1).to(self._device)

    @cached_property
    def _analysis(self) -> DeviceTransforms:
        g_a, h_a = self._analysis_nets()
        return DeviceTransforms(
            self.config,
            g_a=g_a,
            h_a=h_a,
            device=self._device,
            precision=self._precision,
            graphs=self._graphs,
        )

    @cached_property
    def synthesis(self) -> DeviceTransforms:
        """g_s, ready to run."""
        return DeviceTransforms(
            self.config,
            g_s=self._synthesis_net(),
            device=self._device,
            precision=self._precision,
            graphs=self._graphs,
        )

    @cached_property
    def coder(self) -> DeviceLatentCoder:
        """The coder of y and z."""
        nets = FusedNetworks(self._entropy_tensors(), self.config, self._device)
        return DeviceLatentCoder(nets, self.tables, graphs=self._graphs)


def _chunks(size: tuple[int, int], count: int) -> Iterator[slice]:
    """Yield slices of a batch that fit into memory at once."""
    rows, columns = latent_size(*size)
    n = max(1, MAX_POSITIONS // (rows * columns))
    for first in range(0, count, n):
        yield slice(first, first + n)
