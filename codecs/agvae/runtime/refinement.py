"""Refinement: an encoder that descends on the latents of its one image. The decoder is the same.

g_a and h_a answer for all images at once; for a single one there are better latents, and gradients
of the loss that the network was trained with find them. What must be found are integers, so each
residual is a coin between the two integers beside it, whose odds sharpen while the search goes on
(annealing as in Yang et al.). What flows back through a coin is not the slope of a relaxed value
but the difference of the loss between its two sides: of its own bits exactly, of everything else
from the gradient where the coin fell, carried to the middle by a curvature that hardly differs
between images. That takes most of the noise of the coin itself out of its gradient. A golden-ratio
sequence spreads the tosses of one coin evenly over the steps.

References
----------
Campos et al., "Content adaptive optimization for neural image compression", CVPR workshops 2019.
Yang, Bamler, Mandt, "Improving inference for neural image compression", NeurIPS 2020, section 3.2.
Titsias, Lazaro-Gredilla, "Local expectation gradients for black box variational inference",
NeurIPS 2015.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from bench.codecs.agvae.runtime.refinement_loss import Bits, Objective, Problem, Quantiser
from bench.image import Image

RATE = 0.08
"""Of Adam, in quantisation steps; falls linearly to zero."""
BETAS = (0.5, 0.9)
"""Of Adam: short memories, since the odds sharpen all the time."""
QUIET = 1.0
"""Adam's epsilon, in bits per quantisation step: where gradients are smaller, steps are too."""
ODDS_START, ODDS_END = 0.2, 0.04
"""Temperature of the odds at the first and the last step; falls exponentially."""
SEED = 0
"""Of the coins: the same image, setting and machine make the same file."""

_GOLDEN = 0.5 * (5**0.5 - 1)
_EDGE = 1e-3


class Coins:
    """Rounding at random, up or down, to what lies near more often.

    Parameters
    ----------
    device
        Of the latents.
    """

    def __init__(self, device: torch.device) -> None:
        self._generator = torch.Generator(device).manual_seed(SEED)
        self._first: list[Tensor] = []

    def toss(self, step: int, temperature: float) -> Quantiser:
        """Return the rounding of one step, for tensors of the same shapes in the same order.

        ``temperature`` is that of the odds: near 0 every value goes to its nearest integer.
        """
        turn = itertools.count()

        def quantise(values: Tensor, mode: Tensor, bits: Bits, curvature: float) -> Tensor:
            values = values.clone()
            residual = values - mode
            at = residual.detach()
            low = torch.floor(at)
            up = self._draw(next(turn), step, low) < _odds(at - low, temperature)
            coin = low + up
            rate = bits(low + 1) - bits(low)
            to_middle = curvature * (low + 0.5 - coin)
            _add_to_gradient(values, to_middle)
            out = residual + (coin - at)
            _add_to_gradient(out, rate)
            return out

        return quantise

    def _draw(self, turn: int, step: int, like: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1)."""
        if turn == len(self._first):
            self._first.append(torch.empty_like(like).uniform_(generator=self._generator))
        return (self._first[turn] + step * _GOLDEN) % 1


def _add_to_gradient(x: Tensor, extra: Tensor) -> None:
    """Add to what flows back through a tensor that is no leaf."""
    x.register_hook(lambda gradient: gradient + extra)  # type: ignore[no-untyped-call]


def _odds(share: Tensor, temperature: float) -> Tensor:
    """Return the chance to go up of what lies ``share`` of the way."""
    share = share.clamp(_EDGE, 1 - _EDGE)
    # atanh(share) - atanh(1 - share): the log-odds, before the temperature.
    log_odds = 0.5 * torch.log((1 + share) * share / ((1 - share) * (2 - share)))
    return torch.sigmoid(log_odds / temperature)


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
    adam = torch.optim.Adam(latents, lr=RATE, betas=BETAS, eps=QUIET)
    coins = Coins(objective.device)
    for step in range(steps):
        done = step / steps
        adam.param_groups[0]["lr"] = RATE * (1 - done)
        quantise = coins.toss(step, ODDS_START * (ODDS_END / ODDS_START) ** done)
        adam.zero_grad()
        objective.backward(problem, latents[0], latents[1], quantise)
        adam.step()
    return [latent.detach() for latent in latents]
