"""The coder of latents on a device: symbols and predictions never leave it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import Bank
from bench.codecs.agvae.bitstream.latent_coder import SYMBOL_LIMIT, LatentCoder, Stream
from bench.codecs.agvae.bitstream.rans import Encoder
from bench.codecs.agvae.gpu.cuda_graphs import Recorder
from bench.codecs.agvae.gpu.entropy_networks import MAX_POSITIONS, FusedNetworks, Prediction, Shape
from bench.codecs.agvae.gpu.rans import Reader, Writer, complain
from bench.codecs.agvae.gpu.table_lookup import Lookup, lookup
from bench.codecs.agvae.model.config import PASSES, hyper_size
from bench.stopwatch import Phases

MAX_PLANS = 4
"""Shapes whose tensors and graphs are kept, for each direction."""


@dataclass(eq=False)
class _Plan:
    """Tensors that work on one shape is enqueued on, again and again."""

    shape: Shape
    latent: Tensor
    z: Tensor
    gain: Tensor
    prediction: Prediction
    recorder: Recorder


@dataclass(eq=False)
class _Reading(_Plan):
    """What a decoder needs besides."""

    reader: Reader
    z_finders: Tensor
    symbols: Tensor
    scratch: Tensor


@dataclass(eq=False)
class _Writing(_Plan):
    """What an encoder needs besides; one prediction per pass, each at its place in the writer."""

    writer: Writer
    passes: list[Prediction] = field(default_factory=list)


class DeviceLatentCoder(LatentCoder):
    """``LatentCoder`` with everything on a CUDA device (or in Triton's interpreter, for tests).

    ``graphs`` says whether to replay CUDA graphs for shapes that come again.
    """

    def __init__(self, networks: FusedNetworks, bank: Bank, *, graphs: bool = True) -> None:
        super().__init__(networks, bank)
        self._fused = networks
        self._graphs = graphs and networks.device.type == "cuda"
        self._tables: Lookup = lookup(bank, networks.device)
        self._plans: OrderedDict[tuple[type[_Plan], Shape], _Plan] = OrderedDict()
        self._lock = threading.RLock()

    def encode(
        self, y: Tensor, z: Tensor, level_steps: Sequence[int], phases: Phases
    ) -> list[Stream]:
        """Return the payload of each image; see ``LatentCoder.encode``."""
        shape = Shape(*y.shape[:3])
        if shape.positions > MAX_POSITIONS:
            return super().encode(y, z, level_steps, phases)  # in strips
        with self._lock:
            plan = self._writing(shape)
            with phases("entropy model"):
                plan.gain.copy_(self._fused.gains(level_steps))
                z_hat = z.round().clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT)
                plan.z.copy_(z_hat)
                plan.writer.symbols[:, : plan.z[0].numel()] = plan.z.flatten(1)
                self._model_and_round(plan, y)
            with phases("entropy coding"):
                return self._finish(plan.writer)

    def _model_and_round(self, plan: _Writing, y: Tensor) -> None:
        """Enqueue all passes; contexts and symbols are in the writer afterwards."""
        nets, shape, latent = self._fused, plan.shape, plan.latent
        symbols = plan.writer.symbols
        plan.recorder("begin", lambda: self._begin(plan, plan.passes[0]))
        for k, now in enumerate(plan.passes):
            residual = nets.in_coding_order(k, y) - now.mu / 256
            rounded = self.rounded(residual, now.left, now.right)
            symbols[:, now.first : now.first + now.mu.shape[1]] = rounded

            def advance(k: int = k, now: Prediction = now) -> None:
                nets.put(k, symbols, now.mu, latent, shape, now.first)
                if k + 1 < PASSES:
                    nets.predict(k + 1, latent, shape, plan.passes[k + 1])

            plan.recorder(k, advance)

    def _finish(self, writer: Writer) -> list[Stream]:
        """Return the streams of a writer; those it leaves are coded on the CPU."""
        for part in range(PASSES + 1):
            writer.put(part)
        coded = writer.finish()
        return [
            self._coded_here(writer, i) if stream is None else Stream(*stream)
            for i, stream in enumerate(coded)
        ]

    def _coded_here(self, writer: Writer, image: int) -> Stream:
        encoder = Encoder(self._bank)
        for symbols, contexts in writer.parts(image):
            encoder.put(symbols, contexts)
        return Stream(encoder.finish(), encoder.lanes)

    def decode_later(
        self,
        streams: Sequence[Stream],
        level_steps: Sequence[int],
        size: tuple[int, int],
        phases: Phases,
        sizes_bytes: list[list[int]] | None = None,
    ) -> tuple[Tensor, Callable[[], None]]:
        """Enqueue the decoding; see ``LatentCoder.decode_later``."""
        shape = Shape(len(streams), *size)
        if shape.positions > MAX_POSITIONS:
            return super().decode_later(
                streams, level_steps, size, phases, sizes_bytes
            )  # in strips
        with self._lock:
            plan = self._reading(shape, sum(len(stream.data) // 2 for stream in streams))
            positions = self._enqueue(plan, streams, level_steps, phases)
            with phases("entropy model"):
                y_hat = self._fused.y_hat(plan.latent, shape)
            verdicts = plan.reader.verdicts()
        if sizes_bytes is not None:
            lanes = torch.tensor([stream.lanes for stream in streams])
            ends = 2 * torch.stack(positions).cpu() + 4 * lanes
            sizes_bytes += ends.diff(dim=0, prepend=torch.zeros_like(ends[:1])).T.tolist()
        return y_hat, lambda: complain(verdicts.tolist())

    def _enqueue(
        self,
        plan: _Reading,
        streams: Sequence[Stream],
        level_steps: Sequence[int],
        phases: Phases,
    ) -> list[Tensor]:
        """Enqueue all parts; return the reader's positions after each."""
        nets, reader, positions = self._fused, plan.reader, []
        with phases("entropy coding"):
            plan.gain.copy_(nets.gains(level_steps))
            reader.load([(stream.data, stream.lanes) for stream in streams])
            reader.start()
            reader.part(plan.z_finders, plan.z.flatten(1), plan.scratch)
            positions.append(reader.positions.clone())
        with phases("entropy model"):
            plan.recorder("begin", lambda: self._begin(plan, plan.prediction))
        for k in range(PASSES):
            with phases("entropy coding"):
                reader.part(plan.prediction.contexts, plan.symbols, plan.scratch)
                positions.append(reader.positions.clone())

            def advance(k: int = k) -> None:
                nets.put(k, plan.symbols, plan.prediction.mu, plan.latent, plan.shape)
                if k + 1 < PASSES:
                    nets.predict(k + 1, plan.latent, plan.shape, plan.prediction)

            with phases("entropy model"):
                plan.recorder(k, advance)
        return positions

    def _begin(self, plan: _Plan, prediction: Prediction) -> None:
        self._fused.begin(plan.z, plan.gain, plan.latent, plan.shape)
        self._fused.predict(0, plan.latent, plan.shape, prediction)

    def _reading(self, shape: Shape, words: int) -> _Reading:
        """Return the tensors for decoding a shape, with room for that many words."""
        plan = self._plans.get((_Reading, shape))
        if isinstance(plan, _Reading) and plan.reader.capacity_words < words:
            plan.reader = Reader(self._tables, shape.batch, 2 * words)
        elif plan is None:
            plan = self._new_reading(shape, words)
        assert isinstance(plan, _Reading)
        self._keep(plan)
        return plan

    def _new_reading(self, shape: Shape, words: int) -> _Reading:
        n = shape.height * shape.width * self._fused.config.quarter
        device = self._device
        z = self._empty_z(shape)
        finders = torch.empty(shape.batch, n, dtype=torch.int32, device=device)
        none = torch.empty(0, dtype=torch.int16, device=device)
        mu = torch.empty(shape.batch, n, device=device)
        z_finders = self._tables.finder[self._z_row(shape)]
        return _Reading(
            shape,
            self._empty_latent(shape),
            z,
            self._empty_gain(shape),
            Prediction(mu, none, none, finders, 0, self._tables.finder),
            Recorder(enabled=self._graphs),
            Reader(self._tables, shape.batch, max(words, shape.batch * n)),
            z_finders.expand(shape.batch, -1).contiguous(),
            torch.empty_like(finders),
            torch.empty(3 * max(finders.numel(), z.numel()), dtype=torch.int32, device=device),
        )

    def _writing(self, shape: Shape) -> _Writing:
        """Return the tensors for encoding a shape."""
        plan = self._plans.get((_Writing, shape))
        if plan is None:
            plan = self._new_writing(shape)
        assert isinstance(plan, _Writing)
        self._keep(plan)
        return plan

    def _new_writing(self, shape: Shape) -> _Writing:
        n = shape.height * shape.width * self._fused.config.quarter
        z = self._empty_z(shape)
        first = z[0].numel()
        writer = Writer(self._tables, shape.batch, [first, *[n] * PASSES])
        writer.contexts[:, :first] = self._z_row(shape)
        mu = torch.empty(shape.batch, n, device=self._device)
        left = torch.empty(shape.batch, n, dtype=torch.int16, device=self._device)
        right = torch.empty_like(left)
        passes = [
            Prediction(mu, left, right, writer.contexts, first + k * n) for k in range(PASSES)
        ]
        return _Writing(
            shape,
            self._empty_latent(shape),
            z,
            self._empty_gain(shape),
            passes[0],
            Recorder(enabled=self._graphs),
            writer,
            passes,
        )

    def _keep(self, plan: _Plan) -> None:
        """Note that a plan was used; let those go that were not for longest."""
        key = (type(plan), plan.shape)
        self._plans[key] = plan
        self._plans.move_to_end(key)
        while len(self._plans) > 2 * MAX_PLANS:
            self._plans.popitem(last=False)

    def _z_row(self, shape: Shape) -> Tensor:
        """Return the contexts of one image's z, int64 (h w hyper,)."""
        contexts = self._z_contexts(hyper_size(shape.height, shape.width)).astype(np.int64)
        return torch.from_numpy(contexts.reshape(-1)).to(self._device)

    def _empty_z(self, shape: Shape) -> Tensor:
        sides = hyper_size(shape.height, shape.width)
        return torch.empty(
            shape.batch, *sides, self._fused.config.hyper, dtype=torch.int32, device=self._device
        )

    def _empty_latent(self, shape: Shape) -> Tensor:
        width = 2 * self._fused.config.latent
        return torch.empty(shape.positions, width, dtype=torch.float64, device=self._device)

    def _empty_gain(self, shape: Shape) -> Tensor:
        hyper = self._fused.config.hyper
        return torch.empty(shape.batch, hyper, dtype=torch.float64, device=self._device)
