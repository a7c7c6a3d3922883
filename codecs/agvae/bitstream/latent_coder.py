"""From latents to bytes and back: hyper-latent, four context passes, entropy coder.

One function pair for any batch. Only integers steer the decoder: z and the residuals come from
the bytes, everything in between from ``integer/entropy_networks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import Bank
from bench.codecs.agvae.bitstream.rans import Decoder, Encoder
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks, Quarter, reconstruct
from bench.codecs.agvae.model.config import PASSES, hyper_size
from bench.codecs.agvae.threads import at_once
from bench.stopwatch import Phases

Ints = NDArray[np.int32]

SYMBOL_LIMIT = 1 << 14
"""Residuals and hyper-latents are held to this magnitude by the encoder."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One image's payload and the lane count that it was written with."""

    data: bytes
    lanes: int


class LatentCoder:
    """The coder of one network's latents: exact entropy networks, and tables with those of z."""

    def __init__(self, networks: ExactEntropyNetworks, bank: Bank) -> None:
        self.networks, self._bank = networks, bank
        self._device = networks.device

    def encode(
        self, y: Tensor, z: Tensor, level_steps: Sequence[int], phases: Phases
    ) -> list[Stream]:
        """Return the payload of each image.

        Parameters
        ----------
        y
            Gained latents, (B, H, W, M) float32.
        z
            Gained hyper-latents, (B, ceil(H / 4), ceil(W / 4), hyper) float32.
        level_steps
            Level of each image in steps of 1/256.
        phases
            Stopwatch.
        """
        z_hat = z.round().clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT).to(torch.int32)
        encoders = [Encoder(self._bank) for _ in level_steps]
        with phases("entropy coding"):
            symbols = z_hat.cpu().numpy()
            size = (symbols.shape[1], symbols.shape[2])
            contexts = [self._z_contexts(size)] * len(encoders)
            at_once(Encoder.put, encoders, symbols, contexts)
        with phases("entropy model"):
            psi = self.networks.hyper_features(z_hat, level_steps, (y.shape[1], y.shape[2]))
            y_hat = torch.zeros_like(psi)
        for k in range(PASSES):
            with phases("entropy model"):
                symbols, of_symbols = self._encode_pass(k, psi, y, y_hat)
            with phases("entropy coding"):
                at_once(Encoder.put, encoders, symbols, of_symbols)
        with phases("entropy coding"):
            payloads = at_once(Encoder.finish, encoders)
        pairs = zip(payloads, encoders, strict=True)
        return [Stream(payload, encoder.lanes) for payload, encoder in pairs]

    def _encode_pass(self, k: int, psi: Tensor, y: Tensor, y_hat: Tensor) -> tuple[Ints, Ints]:
        """Return symbols and contexts of a pass, (B, N); adds what it codes to ``y_hat``."""
        symbols, contexts = [], []
        for q in self.networks.quarters(k, psi, y_hat):
            residual = y[:, q.rows, q.columns, q.channels] - q.mu / 256
            rounded = self.rounded(residual, q.left, q.right)
            y_hat[:, q.rows, q.columns, q.channels] = reconstruct(rounded, q.mu)
            symbols.append(rounded.to(torch.int32).flatten(1))
            contexts.append(self._contexts(q))
        return torch.cat(symbols, 1).cpu().numpy(), np.concatenate(contexts, 1)

    def rounded(self, residual: Tensor, left: Tensor, right: Tensor) -> Tensor:  # noqa: ARG002
        """Return what is coded for residuals: integers of magnitude up to ``SYMBOL_LIMIT``.

        The one place where an encoder decides. Only enqueues work, element by element.

        Parameters
        ----------
        residual
            y - mu, float32 of any shape; may be overwritten.
        left, right
            Log-scales in steps, int16 of that shape.
        """
        return residual.round_().clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)

    def decode_later(
        self,
        streams: Sequence[Stream],
        level_steps: Sequence[int],
        size: tuple[int, int],
        phases: Phases,
        sizes_bytes: list[list[int]] | None = None,
    ) -> tuple[Tensor, Callable[[], None]]:
        """Return y_hat in steps of 2^-8, (B, H, W, M) float32, and a function to call before use.

        A device may still be at work when this returns; the function waits for it, and raises
        ``DecodeError`` if a payload is damaged.

        Parameters
        ----------
        streams
            Payload of each image.
        level_steps
            Level of each image in steps of 1/256.
        size
            H and W.
        phases
            Stopwatch.
        sizes_bytes
            Where given, one list per image is appended: payload bytes of z and of each pass.
        """
        positions: list[list[int]] = []
        with phases("entropy coding"):
            decoders = [Decoder(self._bank, stream.data, stream.lanes) for stream in streams]
            contexts = self._z_contexts(hyper_size(*size))
            decoded = at_once(Decoder.get, decoders, [contexts] * len(decoders))
            z_hat = torch.from_numpy(np.stack(decoded))
            positions.append([decoder.position_bytes for decoder in decoders])
        with phases("entropy model"):
            psi = self.networks.hyper_features(z_hat, level_steps, size)
            y_hat = torch.zeros_like(psi)
        for k in range(PASSES):
            self._decode_pass(k, psi, y_hat, decoders, phases)
            positions.append([decoder.position_bytes for decoder in decoders])
        for decoder in decoders:
            decoder.close()
        if sizes_bytes is not None:
            sizes_bytes += np.diff(np.array(positions), axis=0, prepend=0).T.tolist()
        return y_hat, lambda: None

    def _decode_pass(
        self, k: int, psi: Tensor, y_hat: Tensor, decoders: list[Decoder], phases: Phases
    ) -> None:
        """Add what a pass decodes to ``y_hat``."""
        with phases("entropy model"):
            quarters = list(self.networks.quarters(k, psi, y_hat))
            contexts = np.concatenate([self._contexts(q) for q in quarters], 1)
        with phases("entropy coding"):
            decoded = at_once(Decoder.get, decoders, contexts)
        with phases("entropy model"):
            symbols = torch.from_numpy(np.stack(decoded)).to(self._device)
            parts = torch.split(symbols, [q.mu[0].numel() for q in quarters], 1)
            for q, part in zip(quarters, parts, strict=True):
                decoded_part = reconstruct(part.reshape(q.mu.shape), q.mu)
                y_hat[:, q.rows, q.columns, q.channels] = decoded_part

    def _contexts(self, q: Quarter) -> Ints:
        """Return the coder's table of each symbol of a quarter, (B, N)."""
        left, right = (steps.flatten(1).cpu().numpy() for steps in (q.left, q.right))
        return self._bank.y_context(left, right)

    def _z_contexts(self, size: tuple[int, int]) -> Ints:
        """Return the tables of z, (h, w, hyper)."""
        channels = self._bank.z_context(np.arange(self.networks.config.hyper))
        return np.ascontiguousarray(np.broadcast_to(channels, (*size, channels.size)))
