"""The factorised density of z (Balle et al. 2018, appendix 6.1)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.codecs.agvae.model.layers import lower_bound

_MASS_MIN = 1e-9


class FactorizedPrior(nn.Module):
    """A learned cumulative per channel; parameters laid out as in CompressAI's EntropyBottleneck.

    It differs in what training in one CUDA graph needs: bits per image instead of likelihoods,
    and no quantiles, since the integer tables of the coder are made once, at export.
    """

    def __init__(
        self, channels: int, filters: tuple[int, ...] = (3, 3, 3, 3), init_scale: float = 10.0
    ) -> None:
        super().__init__()
        sizes = (1, *filters, 1)
        scale = init_scale ** (1 / (len(filters) + 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.factors = nn.ParameterList()
        for inner, outer in pairwise(sizes):
            start = math.log(math.expm1(1 / scale / outer))
            self.matrices.append(nn.Parameter(torch.full((channels, outer, inner), start)))
            self.biases.append(nn.Parameter(torch.empty(channels, outer, 1).uniform_(-0.5, 0.5)))
        for outer in filters:
            self.factors.append(nn.Parameter(torch.zeros(channels, outer, 1)))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logit of the cumulative: (C, 1, N) -> (C, 1, N)."""
        for i, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.matmul(functional.softplus(matrix), x) + bias
            if i < len(self.factors):
                x = x + torch.tanh(self.factors[i]) * torch.tanh(x)
        return x

    def mass(self, x: Tensor) -> Tensor:
        """Return the mass of the unit bin around each value: (C, 1, N) -> (C, 1, N)."""
        low, high = self.logits(x - 0.5), self.logits(x + 0.5)
        # Both sigmoids on the side where they are small, so that tails do not cancel.
        sign = torch.where(low + high > 0, -1.0, 1.0)
        return torch.abs(torch.sigmoid(sign * high) - torch.sigmoid(sign * low))

    def bits(self, z: Tensor) -> Tensor:
        """Return the bits of each image: (B, C, H, W) -> (B,)."""
        return self.bits_of_each(z).sum((1, 2, 3))

    def bits_of_each(self, z: Tensor) -> Tensor:
        """Return the bits of each value: (B, C, H, W) -> the same shape."""
        values = z.transpose(0, 1)
        with torch.autocast(z.device.type, enabled=False):  # bfloat16 knows no x + 0.5 above 128
            bits = -torch.log2(lower_bound(self.mass(values.reshape(z.shape[1], 1, -1)), _MASS_MIN))
        return bits.reshape(values.shape).transpose(0, 1)
