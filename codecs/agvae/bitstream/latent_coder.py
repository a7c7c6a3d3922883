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

from bench.codecs.agvae.bitstream import hyper_context
from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.bitstream.container import Y_CORRECTED, Z_BY_NEIGHBOURS
from bench.codecs.agvae.bitstream.frequency_tables import Bank
from bench.codecs.agvae.bitstream.rans import Decoder, Encoder
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks, Quarter, reconstruct
from bench.codecs.agvae.model.config import PASSES, hyper_size
from bench.codecs.agvae.threads import at_once
from bench.errors import DecodeError
from bench.stopwatch import Phases

Ints = NDArray[np.int32]

SYMBOL_LIMIT = 1 << 14
"""Residuals and hyper-latents are held to this magnitude by the encoder."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One image's payload, and the lane count and choice of tables that it was written with."""

    data: bytes
    lanes: int
    tables: int = 0


class LatentCoder:
    """The coder of one network's latents: exact entropy networks, and the tables of its coder."""

    def __init__(self, networks: ExactEntropyNetworks, tables: CodingTables) -> None:
        self.networks, self._tables = networks, tables
        self._device = networks.device
        self._hyper_context = hyper_context.HyperContext.of_tables(tables)

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
        with phases("entropy coding"):
            coded = at_once(self._encode_z, z_hat.cpu()[:, None], level_steps)
            encoders = [encoder for encoder, _ in coded]
        with phases("entropy model"):
            psi = self.networks.hyper_features(z_hat, level_steps, (y.shape[1], y.shape[2]))
            y_hat = torch.zeros_like(psi)
        for k in range(PASSES):
            with phases("entropy model"):
                symbols, of_symbols = self.encode_pass(k, psi, y, y_hat)
            with phases("entropy coding"):
                at_once(Encoder.put, encoders, symbols, of_symbols)
                del symbols, of_symbols  # a byte a pixel each, beside the next pass
        del psi, y_hat  # 4 bytes a pixel each
        with phases("entropy coding"):
            return at_once(self._finish, encoders, [choice for _, choice in coded])

    def _encode_z(self, z: Tensor, level_steps: int) -> tuple[Encoder, int]:
        """Return an encoder that holds z, int32 (1, h, w, hyper), and the shorter choice for it."""
        own = Encoder(self._tables.bank(0))
        symbols = z.numpy()
        own.put(symbols[0], self._own_contexts((symbols.shape[1], symbols.shape[2])))
        if self._hyper_context is None:
            return own, 0
        bank = self._tables.bank(Z_BY_NEIGHBOURS)
        other = Encoder(bank)
        rows = torch.tensor([self._hyper_context.row(level_steps)])
        for part in hyper_context.parts(symbols.shape[3]):
            tables = self._hyper_context.tables(z, part, rows)
            other.put(
                symbols[:, part.rows, part.columns, part.channels], bank.z_context(tables.numpy())
            )
        return self._shorter_z((own, 0), (other, Z_BY_NEIGHBOURS))

    @staticmethod
    def _shorter_z(own: tuple[Encoder, int], other: tuple[Encoder, int]) -> tuple[Encoder, int]:
        """Return which of two encoders, each with its choice, needs fewer bits."""
        return own if own[0].ideal_bits <= other[0].ideal_bits else other

    def _finish(self, encoder: Encoder, choice: int) -> Stream:
        """Return the stream of what an encoder holds, with the tables of y that make it short."""
        if self._hyper_context is not None:
            choice |= self._shorter_y(encoder, choice)
            encoder.use(self._tables.bank(choice))
        return Stream(encoder.finish(), encoder.lanes, choice)

    def _shorter_y(self, encoder: Encoder, choice: int) -> int:
        """Return 0 or ``Y_CORRECTED``: with which tables of y an encoder needs fewer bits."""
        bits = []
        for of_y in (0, Y_CORRECTED):
            encoder.use(self._tables.bank(choice | of_y))
            bits.append(encoder.ideal_bits)
        return Y_CORRECTED if bits[1] < bits[0] else 0

    def encode_pass(self, k: int, psi: Tensor, y: Tensor, y_hat: Tensor) -> tuple[Ints, Ints]:
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
            decoders = [Decoder(self._bank_of(one), one.data, one.lanes) for one in streams]
            choices, sizes = [one.tables for one in streams], [hyper_size(*size)] * len(streams)
            z_hat = torch.cat(at_once(self._decode_z, decoders, choices, level_steps, sizes))
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

    def _bank_of(self, stream: Stream) -> Bank:
        if stream.tables not in self._tables.choices:
            known = ", ".join(map(str, self._tables.choices))
            raise DecodeError(f"the file wants tables {stream.tables}, its network has {known}")
        return self._tables.bank(stream.tables)

    def _decode_z(
        self, decoder: Decoder, choice: int, level_steps: int, size: tuple[int, int]
    ) -> Tensor:
        """Return z_hat of one image, int32 (1, h, w, hyper)."""
        if self._hyper_context is None or not choice & Z_BY_NEIGHBOURS:
            return torch.from_numpy(decoder.get(self._own_contexts(size)))[None]
        z = torch.zeros(1, *size, self.networks.config.hyper, dtype=torch.int32)
        rows = torch.tensor([self._hyper_context.row(level_steps)])
        for part in hyper_context.parts(z.shape[3]):
            contexts = Bank.z_context(self._hyper_context.tables(z, part, rows).numpy())
            z[:, part.rows, part.columns, part.channels] = torch.from_numpy(decoder.get(contexts))
        return z

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
        return Bank.y_context(left, right)

    def _own_contexts(self, size: tuple[int, int]) -> Ints:
        """Return the model's own tables of z, (h, w, hyper)."""
        channels = Bank.z_context(np.arange(self.networks.config.hyper))
        return np.ascontiguousarray(np.broadcast_to(channels, (*size, channels.size)))
