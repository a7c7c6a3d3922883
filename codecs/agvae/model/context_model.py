"""The 4-pass context model in training form: entropy parameters from z and what is decoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.config import PASSES, Config
from bench.codecs.agvae.model.layers import DepthBlock
from bench.codecs.agvae.model.quadtree import parts
from bench.codecs.agvae.model.split_normal import bound_log_scale, tie_scales


class QuadtreeContext(nn.Module):
    """Per pass a 1x1 mix of hyper features and decoded latents, a shared trunk, a 1x1 head.

    Pass 0 sees the hyper features alone; passes 1 to 3 also what the earlier ones decoded.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        m = config.latent
        self.mix = nn.ModuleList([nn.Conv2d(m if k == 0 else 2 * m, m, 1) for k in range(PASSES)])
        self.trunk = nn.Sequential(*[DepthBlock(m) for _ in range(config.blocks)])
        self.head = nn.ModuleList([_head(m) for _ in range(PASSES)])

    def parameters_of(
        self, pass_index: int, psi: Tensor, y_hat: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, log s_l and log s_r of one pass, each (B, M, H, W).

        Only the quarter that ``mask(pass_index)`` selects means anything.
        """
        return self.split(self.head[pass_index](self.features(pass_index, psi, y_hat)))

    def features(self, pass_index: int, psi: Tensor, y_hat: Tensor) -> Tensor:
        """Return what the head of a pass reads, (B, M, H, W)."""
        x = psi if pass_index == 0 else torch.cat((psi, y_hat), 1)
        out: Tensor = self.trunk(self.mix[pass_index](x))
        return out

    def split(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, log s_l and log s_r from a head's output, (B, 3 C, ...)."""
        mu, left, right = out.float().chunk(3, 1)
        if not self.config.asymmetric:
            left, right = tie_scales(left, right)
        return mu, bound_log_scale(left), bound_log_scale(right)

    def mask(self, pass_index: int, y: Tensor) -> Tensor:
        """Return 1 where a pass decodes and 0 elsewhere, (M, H, W), for a latent like ``y``."""
        mask = torch.zeros(y.shape[1:], dtype=y.dtype, device=y.device)
        for part in parts(pass_index, y.shape[1]):
            mask[part] = 1
        return mask


def _head(channels: int) -> nn.Conv2d:
    """Return a 1x1 convolution to mu, log s_l and log s_r that starts near zero."""
    conv = nn.Conv2d(channels, 3 * channels, 1)
    nn.init.normal_(conv.weight, std=0.1 * (3 * channels) ** -0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
