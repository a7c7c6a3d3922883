"""Random crops, cut where the photographs lie: on the GPU, all of them resident as bytes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.training.counter_rng import below, random_u32
from bench.codecs.agvae.training.photographs import Photos

AREA_POWER = 0.7
"""A photo is chosen with probability area^0.7: large ones more often, but not by their area."""

_NUMBERS = 4
"""Random numbers per crop: photo, row, column, mirror."""


class Crops:
    """Photographs on a device, 3 bytes per pixel, and batches of square crops of them.

    The batch of a step is a function of (seed, step): equal for every variant, on every device,
    after every resume. Each photograph is at least ``size`` pixels wide and high.
    """

    def __init__(
        self, photos: Photos, *, batch: int, size: int, seed: int, device: torch.device
    ) -> None:
        pixels = [photo.pixels for photo in photos.members]
        flat = np.concatenate([image.reshape(-1) for image in pixels])
        self._flat = torch.from_numpy(flat).to(device)
        shapes = np.array([image.shape[:2] for image in pixels], np.int64)
        starts = np.cumsum([0] + [image.size for image in pixels])[:-1]
        share = np.cumsum((shapes[:, 0] * shapes[:, 1]) ** AREA_POWER)
        self._edges = torch.from_numpy((share / share[-1] * 2**32).astype(np.int64)).to(device)
        self._shapes = torch.from_numpy(shapes).to(device)
        self._starts = torch.from_numpy(starts).to(device)
        self._offsets = torch.arange(size, device=device)
        self._channels = torch.arange(3, device=device)
        self._batch, self._size, self._seed = batch, size, seed

    def __call__(self, step: Tensor) -> Tensor:
        """Return the crops of a step in [0, 1], (B, 3, size, size) float32, channels last."""
        drawn = random_u32(self._seed, step, _NUMBERS * self._batch).reshape(_NUMBERS, -1)
        which = torch.searchsorted(self._edges, drawn[0], right=True)
        which = which.clamp_max(self._edges.shape[0] - 1)
        heights, widths = self._shapes[which].unbind(1)
        top = below(heights - self._size + 1, drawn[1])
        left = below(widths - self._size + 1, drawn[2])
        rows = top[:, None] + self._offsets
        columns = left[:, None] + self._offsets
        mirrored = (drawn[3] & 1).bool()[:, None]
        columns = torch.where(mirrored, columns.flip(1), columns)
        pixel = rows[:, :, None] * widths[:, None, None] + columns[:, None, :]
        index = (self._starts[which][:, None, None] + 3 * pixel)[..., None] + self._channels
        return self._flat[index].permute(0, 3, 1, 2).float() / 255
