"""The loss of one image as a function of its latents, in bits: what a refining encoder descends on.

The same terms as in training (``model.py``, ``losses.py``), for pictures of any size: rate over the
whole latent at once, distortion tile by tile, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.codecs.agvae.model.config import PASSES, STRIDE, Config, lambda_at
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.model.ms_ssim import MS_SSIM_MIN_SIDE, ms_ssim
from bench.codecs.agvae.model.quadtree import CLASSES, head_rows, parts
from bench.codecs.agvae.model.split_normal import split_normal_bits
from bench.codecs.agvae.runtime import precision as precisions
from bench.codecs.agvae.runtime.tiled_transforms import TILE, core, reach, tiles
from bench.image import Image

Bits = Callable[[Tensor], Tensor]
"""Integers -> the bits of each, of the same shape."""

Quantiser = Callable[[Tensor, Tensor, Bits, float], Tensor]
"""Values, their modes, the bits of residuals and a curvature -> integer residuals.

The gradient that flows back into the residuals holds what they do to the distortion and to the bits
of others; what they do to their own bits is the quantiser's part. The curvature is the second
derivative of the distortion, in bits per squared quantisation step.
"""

CURVATURE = 11.0
"""Of y, by secants of four crops at levels 1 and 5: 8.7 to 13. Gains make it much the same for all
channels and levels. z has none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One image at one level.

    Attributes
    ----------
    target
        The image in [0, 1], (1, 3, H, W).
    level
        Real rate level, (1,).
    weight
        Bits that a unit of distortion in one pixel is worth: lambda of the level.
    """

    target: Tensor
    level: Tensor
    weight: float


class Objective:
    """Rate plus weighted distortion of one network's latents.

    Parameters
    ----------
    config
        Of the network.
    tensors
        Its weights, as ``checkpoints.load`` returns them.
    metric
        What it was trained for, ``mse`` or ``ms-ssim``: the distortion.
    device
        Where to compute. Networks run in bfloat16 where the device multiplies it, whatever the
        precision of the transforms is: gradients need no more.
    tile
        Side of a tile's core in latent positions.
    """

    def __init__(
        self,
        config: Config,
        tensors: Mapping[str, Tensor],
        metric: str,
        device: str | torch.device = "cpu",
        tile: int = TILE,
    ) -> None:
        self.device, self._metric = torch.device(device), metric
        self._tile, self._overlap = tile, reach(config)
        self._fast = precisions.has_bfloat16(self.device.type)
        self._net = _network(config, tensors, self.device)
        self._heads = [_heads(k, self._net) for k in range(PASSES)]
        self._precision = torch.bfloat16 if self._fast else torch.float32
        self._g_s = self._net.g_s.to(self._precision)

    def defined(self, image: Image) -> bool:
        """Return whether the image has a distortion: MS-SSIM needs sides of 161 pixels."""
        return self._metric != "ms-ssim" or min(image.shape[:2]) >= MS_SSIM_MIN_SIDE

    def problem(self, image: Image, level: float) -> Problem:
        """Return what is to be solved for an image, uint8 RGB (H, W, 3), at a real level."""
        rgb = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        return Problem(
            rgb.permute(2, 0, 1)[None].float() / 255,
            torch.tensor([level], device=self.device),
            lambda_at(level, self._metric),
        )

    @torch.no_grad()
    def cost(self, problem: Problem, y: Tensor, z: Tensor) -> float:
        """Return the loss in bits of the integers that y and z are coded as.

        Both are gained, (1, M, H / 16, W / 16) and (1, hyper, H / 64, W / 64), rounded up.
        """
        bits, y_hat = self._code(problem, y, z, _nearest)
        return bits.item() + self._distortion(problem, y_hat)

    def backward(self, problem: Problem, y: Tensor, z: Tensor, quantise: Quantiser) -> None:
        """Add the gradient of the loss to ``y.grad`` and ``z.grad``; see ``cost``."""
        with torch.enable_grad():
            bits, y_hat = self._code(problem, y, z, quantise)
            shown = y_hat.detach().requires_grad_()
            self._distortion(problem, shown)
            torch.autograd.backward([bits, y_hat], [None, shown.grad])

    def _code(
        self, problem: Problem, y: Tensor, z: Tensor, quantise: Quantiser
    ) -> tuple[Tensor, Tensor]:
        """Return the bits of an image and its y_hat, as ``AGVAE.forward`` does."""
        net = self._net
        z_hat = quantise(z, torch.zeros_like(z), net.z_prior.bits_of_each, 0.0)
        bits = net.z_prior.bits(z_hat.detach()).sum()
        with self._autocast():
            psi = net.h_s(z_hat * net.gain_z.inverse(problem.level))
        psi = psi[..., : y.shape[2], : y.shape[3]]
        y_hat = torch.zeros_like(y)
        for k in range(PASSES):
            mu, left, right = self._parameters(k, psi, y_hat)
            each = partial(split_normal_bits, log_left=left.detach(), log_right=right.detach())
            residual = quantise(_taken(k, y), mu, each, CURVATURE)
            bits = bits + split_normal_bits(residual.detach(), left, right).sum()
            y_hat = _put(k, y_hat, residual + mu)
        return bits, y_hat

    def _parameters(self, k: int, psi: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, log s_l and log s_r of what pass k codes, (N, M / 4) each, as ``_taken``.

        The last layer runs for that quarter alone.
        """
        with self._autocast():
            x = self._net.context.features(k, psi, y_hat).permute(0, 2, 3, 1)
        found = [
            functional.linear(x[:, rows, columns].flatten(0, 2).float(), *head)
            for head, (_, rows, columns) in zip(
                self._heads[k], parts(k, y_hat.shape[1]), strict=True
            )
        ]
        return self._net.context.split(torch.cat(found))

    def _distortion(self, problem: Problem, y_hat: Tensor) -> float:
        """Return the weighted distortion in bits; adds its gradient to ``y_hat`` if wanted."""
        total, inverse = 0.0, self._net.gain_y.inverse(problem.level)
        height, width = y_hat.shape[2:]
        for rows, columns in tiles(height, width, self._overlap, self._tile):
            outer = y_hat[
                ..., rows.outer_start : rows.outer_stop, columns.outer_start : columns.outer_stop
            ]
            out = self._g_s((outer * inverse).to(self._precision)).float()
            x_hat = core(out, rows, columns, STRIDE).permute(2, 0, 1)[None] + 0.5
            x = problem.target[..., rows.start * STRIDE :, columns.start * STRIDE :]
            x = x[..., : x_hat.shape[2], : x_hat.shape[3]]
            x_hat = x_hat[..., : x.shape[2], : x.shape[3]]  # what lies outside is never shown
            loss = problem.weight * x[0, 0].numel() * self._distance(x_hat, x)
            if y_hat.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def _distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the distortion of (1, 3, H, W): 255^2 MSE, or 1 - MS-SSIM."""
        if self._metric == "ms-ssim":
            return 1 - ms_ssim(x_hat, x).squeeze()
        return 255**2 * (x_hat - x).square().mean()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._fast)


def _network(config: Config, tensors: Mapping[str, Tensor], device: torch.device) -> AGVAE:
    """Return the network without g_a and h_a: the search begins with what those said."""
    with torch.device("meta"):
        net = AGVAE(config)
    net.g_a, net.h_a = torch.nn.Sequential(), torch.nn.Sequential()
    net.load_state_dict({name: tensors[name] for name in net.state_dict()}, assign=True)
    net = net.eval().requires_grad_(requires_grad=False)
    moved: AGVAE = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _nearest(values: Tensor, mode: Tensor, *_: object) -> Tensor:
    return (values - mode).round()


def _heads(k: int, net: AGVAE) -> list[tuple[Tensor, Tensor]]:
    """Return weight, (3 M / 4, M), and bias of a pass's last layer for each position class."""
    weight = net.get_parameter(f"context.head.{k}.weight").flatten(1)
    bias = net.get_parameter(f"context.head.{k}.bias")
    rows = [head_rows(k, c, net.config.latent) for c in range(len(CLASSES))]
    return [(weight[chosen], bias[chosen]) for chosen in rows]


def _taken(k: int, latent: Tensor) -> Tensor:
    """Return what pass k codes of a latent, (1, M, H, W), as (N, M / 4)."""
    pieces = [latent[0][part].permute(1, 2, 0) for part in parts(k, latent.shape[1])]
    return torch.cat([piece.flatten(0, 1) for piece in pieces])


def _put(k: int, latent: Tensor, values: Tensor) -> Tensor:
    """Return a copy of a latent in which pass k's part is ``values``, (N, M / 4)."""
    latent, start = latent.clone(), 0
    for part in parts(k, latent.shape[1]):
        quarter, height, width = latent[0][part].shape
        value = values[start : start + height * width].view(height, width, quarter)
        latent[0][part] = value.permute(2, 0, 1)
        start += height * width
    return latent
