"""The coder of latents on a device: symbols and predictions never leave it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.bitstream import hyper_context
from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.bitstream.container import Z_BY_NEIGHBOURS
from bench.codecs.agvae.bitstream.frequency_tables import FIRST_Z
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
    """What a decoder needs besides; ``choice`` is that of the streams' tables."""

    choice: int
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

    def __init__(
        self, networks: FusedNetworks, tables: CodingTables, *, graphs: bool = True
    ) -> None:
        super().__init__(networks, tables)
        self._fused = networks
        self._graphs = graphs and networks.device.type == "cuda"
        self._choice = tables.choices[-1]
        context = self._hyper_context
        self._context_here = None if context is None else context.to(networks.device)
        self._plans: OrderedDict[tuple[type[_Plan], Shape, int], _Plan] = OrderedDict()
        self._lock = threading.RLock()

    def _lookup(self, choice: int) -> Lookup:
        return lookup(self._tables.bank(choice), self._device)

    def encode(
        self, y: Tensor, z: Tensor, level_steps: Sequence[int], phases: Phases
    ) -> list[Stream]:
        """Return the payload of each image; see ``LatentCoder.encode``.

        A batch with an image for which other tables than all the counted ones are shorter is left
        to ``LatentCoder``.
        """
        shape = Shape(*y.shape[:3])
        if shape.positions > MAX_POSITIONS:
            return super().encode(y, z, level_steps, phases)  # in strips
        with self._lock:
            plan = self._writing(shape)
            with phases("entropy model"):
                plan.gain.copy_(self._fused.gains(level_steps))
                plan.z.copy_(z.round().clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT))
                self._put_z(plan, level_steps)
                self._model_and_round(plan, y)
            with phases("entropy coding"):
                if self._put_shortest(plan, level_steps):
                    return self._written(plan.writer)
        return super().encode(y, z, level_steps, phases)

    def _put_z(self, plan: _Writing, level_steps: Sequence[int]) -> None:
        """Enqueue symbols and contexts of z, part by part."""
        first, writer = 0, plan.writer
        for symbols, contexts in self._z_parts(plan.z, level_steps):
            end = first + symbols.shape[1]
            writer.symbols[:, first:end] = symbols
            writer.contexts[:, first:end] = contexts
            first = end

    def _z_parts(self, z: Tensor, level_steps: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield symbols and contexts of each part of z that is not empty, (B, N)."""
        if self._context_here is None:
            yield z.flatten(1), self._z_row(z).expand(len(z), -1)
            return
        for part in _parts(z):
            here = z[:, part.rows, part.columns, part.channels]
            tables = self._context_here.tables(z, part, self._rows(level_steps))
            yield here.flatten(1), tables.flatten(1) + FIRST_Z

    def _rows(self, level_steps: Sequence[int]) -> Tensor:
        assert self._context_here is not None
        return torch.tensor([self._context_here.row(s) for s in level_steps], device=self._device)

    def _put_shortest(self, plan: _Writing, level_steps: Sequence[int]) -> bool:
        """Enqueue all look-ups; return whether the counted tables suit every image best.

        Waits for the device where there are any.
        """
        if not self._choice:
            self._put(plan.writer, self._choice)
            return True
        of_z = (choice for _, choice in map(self._encode_z, plan.z.cpu()[:, None], level_steps))
        if not all(choice == Z_BY_NEIGHBOURS for choice in of_z):
            return False
        model, counted = (
            self._put(plan.writer, choice) for choice in (Z_BY_NEIGHBOURS, self._choice)
        )
        return bool((counted < model).all())

    def _put(self, writer: Writer, choice: int) -> Tensor:
        """Enqueue the look-ups of all parts in the tables of a choice; return their bits."""
        for part in range(len(writer.sizes)):
            writer.put(part, self._lookup(choice))
        return writer.bits()

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

    def _written(self, writer: Writer) -> list[Stream]:
        """Return the streams of a writer that has been put; those it leaves come from the CPU."""
        coded = writer.finish()
        return [
            self._coded_here(writer, i) if stream is None else Stream(*stream, self._choice)
            for i, stream in enumerate(coded)
        ]

    def _coded_here(self, writer: Writer, image: int) -> Stream:
        encoder = Encoder(self._tables.bank(self._choice))
        for symbols, contexts in writer.parts(image):
            encoder.put(symbols, contexts)
        return Stream(encoder.finish(), encoder.lanes, self._choice)

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
        choices = {stream.tables for stream in streams}
        if shape.positions > MAX_POSITIONS or len(choices) > 1:
            return super().decode_later(
                streams, level_steps, size, phases, sizes_bytes
            )  # in strips
        self._bank_of(streams[0])
        with self._lock:
            words = sum(len(stream.data) // 2 for stream in streams)
            plan = self._reading(shape, words, choices.pop())
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
            self._read_z(plan, level_steps)
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

    def _read_z(self, plan: _Reading, level_steps: Sequence[int]) -> None:
        """Enqueue the decoding of z."""
        if self._context_here is None or not plan.choice & Z_BY_NEIGHBOURS:
            plan.reader.part(plan.z_finders, plan.z.flatten(1), plan.scratch)
            return
        finder, rows = self._lookup(plan.choice).finder, self._rows(level_steps)
        for part in _parts(plan.z):
            tables = self._context_here.tables(plan.z, part, rows)
            finders = finder[tables + FIRST_Z].flatten(1).contiguous()
            symbols = torch.empty_like(finders)
            plan.reader.part(finders, symbols, plan.scratch)
            plan.z[:, part.rows, part.columns, part.channels] = symbols.reshape(tables.shape)

    def _begin(self, plan: _Plan, prediction: Prediction) -> None:
        self._fused.begin(plan.z, plan.gain, plan.latent, plan.shape)
        self._fused.predict(0, plan.latent, plan.shape, prediction)

    def _reading(self, shape: Shape, words: int, choice: int) -> _Reading:
        """Return the tensors for decoding a shape, with room for that many words."""
        plan = self._plans.get((_Reading, shape, choice))
        if isinstance(plan, _Reading) and plan.reader.capacity_words < words:
            plan.reader = Reader(self._lookup(choice), shape.batch, 2 * words)
        elif plan is None:
            plan = self._new_reading(shape, words, choice)
        assert isinstance(plan, _Reading)
        self._keep(plan, choice)
        return plan

    def _new_reading(self, shape: Shape, words: int, choice: int) -> _Reading:
        n = shape.height * shape.width * self._fused.config.quarter
        device, tables = self._device, self._lookup(choice)
        z = self._empty_z(shape)
        finders = torch.empty(shape.batch, n, dtype=torch.int32, device=device)
        none = torch.empty(0, dtype=torch.int16, device=device)
        mu = torch.empty(shape.batch, n, device=device)
        by_neighbours = choice & Z_BY_NEIGHBOURS
        z_finders = none if by_neighbours else tables.finder[self._z_row(z)]
        return _Reading(
            shape,
            self._empty_latent(shape),
            z,
            self._empty_gain(shape),
            Prediction(mu, none, none, finders, 0, tables.finder),
            Recorder(enabled=self._graphs),
            choice,
            Reader(tables, shape.batch, max(words, shape.batch * n)),
            z_finders.expand(shape.batch, -1).contiguous(),
            torch.empty_like(finders),
            torch.empty(3 * max(finders.numel(), z.numel()), dtype=torch.int32, device=device),
        )

    def _writing(self, shape: Shape) -> _Writing:
        """Return the tensors for encoding a shape."""
        plan = self._plans.get((_Writing, shape, self._choice))
        if plan is None:
            plan = self._new_writing(shape)
        assert isinstance(plan, _Writing)
        self._keep(plan, self._choice)
        return plan

    def _new_writing(self, shape: Shape) -> _Writing:
        n = shape.height * shape.width * self._fused.config.quarter
        z = self._empty_z(shape)
        first = z[0].numel()
        of_z = [first]
        if self._context_here is not None:
            of_z = [z[0, p.rows, p.columns, p.channels].numel() for p in _parts(z)]
        writer = Writer(self._lookup(self._choice), shape.batch, [*of_z, *[n] * PASSES])
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

    def _keep(self, plan: _Plan, choice: int) -> None:
        """Note that a plan was used; let those go that were not for longest."""
        key = (type(plan), plan.shape, choice)
        self._plans[key] = plan
        self._plans.move_to_end(key)
        while len(self._plans) > 2 * MAX_PLANS:
            self._plans.popitem(last=False)

    def _z_row(self, z: Tensor) -> Tensor:
        """Return the model's own tables of one image's z, int64 (h w hyper,)."""
        contexts = self._own_contexts((z.shape[1], z.shape[2])).astype(np.int64)
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


def _parts(z: Tensor) -> Iterator[hyper_context.Part]:
    """Yield the parts of z, (B, h, w, hyper), that have symbols."""
    for part in hyper_context.parts(z.shape[3]):
        if z[0, part.rows, part.columns].numel():
            yield part
