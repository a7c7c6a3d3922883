"""Refinement: an encoder that descends on the latents of its one image. The decoder is the same.

g_a and h_a answer for all images at once; for a single one there are better latents, and gradients
of the loss that the network was trained with find them. What must be found are integers, so each
residual is a coin between the integers beside it, whose odds sharpen while the search goes on:
stochastic Gumbel annealing with two temperatures. That of the odds falls; that of the relaxation,
which the original lets fall with it, stays at 1: gradients are quieter, and 50 steps save twice
as much.

References
----------
Campos et al., "Content adaptive optimization for neural image compression", CVPR workshops 2019.
Yang, Bamler, Mandt, "Improving inference for neural image compression", NeurIPS 2020, section 3.2.
Maddison et al., "The concrete distribution", ICLR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.codecs.agvae.runtime.refinement_loss import Objective, Problem
from bench.image import Image

RATE = 0.03
"""Of Adam, in quantisation steps; falls linearly to zero."""
BETAS = (0.8, 0.95)
"""Of Adam: short memories, since the odds sharpen all the time."""
ODDS_START, ODDS_END = 0.4, 0.07
"""Temperature of the odds at the first and the last step; falls exponentially."""
SEED = 0
"""Of the coins: the same image, setting and machine make the same file."""

_EDGE = 1e-3
_COIN_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Coins:
    """Rounds at random, up or down, to what lies near more often; gradients flow.

    ``temperature`` is that of the odds: near 0 every value goes to its nearest integer.
    """

    temperature: float
    generator: torch.Generator

    def __call__(self, x: Tensor) -> Tensor:
        """Return relaxed integers, of the shape of ``x``."""
        low = torch.floor(x.detach())
        share = (x - low).clamp(_EDGE, 1 - _EDGE)
        # atanh(share) - atanh(1 - share): the log-odds of going up, before the temperature.
        log_odds = 0.5 * torch.log((1 + share) * share / ((1 - share) * (2 - share)))
        coin = torch.empty_like(share).uniform_(generator=self.generator)
        coin = coin.clamp_(_COIN_EDGE, 1 - _COIN_EDGE)
        return low + torch.sigmoid(log_odds / self.temperature + torch.log(coin / (1 - coin)))


def refined(
    objective: Objective, image: Image, y: Tensor, z: Tensor, level: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Return better latents than those given, or the same where none were found.

    An image that is too small for MS-SSIM keeps its latents if the network was trained for that.
    The image is uint8 RGB (H, W, 3), its gained latents are (H / 16, W / 16, M) and
    (H / 64, W / 64, hyper) float32, sides rounded up.
    """
    if not objective.defined(image):
        return y, z
    problem = objective.problem(image, level)
    first = [latent.permute(2, 0, 1)[None].contiguous() for latent in (y, z)]
    found = _descend(objective, problem, first, steps)
    best = min((first, found), key=lambda latents: objective.cost(problem, *latents))
    y, z = (latent[0].permute(1, 2, 0).contiguous() for latent in best)
    return y, z


def _descend(
    objective: Objective, problem: Problem, first: list[Tensor], steps: int
) -> list[Tensor]:
    """Return the latents at the end of the search; y first, then z."""
    latents = [latent.clone().requires_grad_() for latent in first]
    adam = torch.optim.Adam(latents, lr=RATE, betas=BETAS)
    generator = torch.Generator(objective.device).manual_seed(SEED)
    for step in range(steps):
        done = step / steps
        adam.param_groups[0]["lr"] = RATE * (1 - done)
        coins = Coins(ODDS_START * (ODDS_END / ODDS_START) ** done, generator)
        adam.zero_grad()
        objective.backward(problem, latents[0], latents[1], coins)
        adam.step()
    return [latent.detach() for latent in latents]
