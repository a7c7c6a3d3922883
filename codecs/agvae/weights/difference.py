"""Branches: weights stored as differences from a base file, a fifth of its size.

A branch continues the network of a base file for some steps. What it is, in its own file::

    base          uint8 (32,)                sha256 of the base file
    step          float32 ()                 of a difference, in the base's own steps
    stream        uint8 (bytes)              differences of the convolutions' integers, rANS
    rows          uint8 (all outputs,)       index of the scale of each output channel
    columns       int8 (all inputs,)         what each input channel adds to that index
    NAME.half     float16 (tensor's shape)   difference of a vector or table
    z_frequencies uint16 (tensor's shape)    as it is
    gain_y.gain   float32 (channels,)        of a network without gain: the gains of its level,
                                             likewise gain_y.inverse, gain_z.gain, gain_z.inverse;
                                             of a conditional one: its fixed gains
    version       uint8 ()                   2 of a conditional network; absent: 1
    offsets       int16 (rows of tables,)    of a conditional network: see ``level_tables``
    predicted_from  uint8 (32,)              sha256 of another branch of the same base, if there is
                                             one that predicts the differences
    ratios        float32 (tensors,)         by name: what that one's differences are multiplied by

A weight is ``(base integer + step * difference) * base scale``, times the gain of its channel where
that is folded in (``gain_units.folding``); a vector is base (folded) plus difference. All are
single, correctly rounded operations: the same weights on every machine. The tensors' streams follow
one another by name, coded with the tables of the latent (symmetric, scale ``rows + columns``, cut
to the grid): a tenth smaller than LZMA makes them. Branches that saw the same crops move alike:
where another one predicts, the stream holds what is left over (``predicted.prediction``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import NUM_SCALES, SCALES, standard_bank
from bench.codecs.agvae.bitstream.rans import MAX_AUTO_LANES, Decoder, Encoder
from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.model.gain_units import folding
from bench.codecs.agvae.model.mechanisms import FIXED_GAINS
from bench.codecs.agvae.weights import level_tables
from bench.codecs.agvae.weights.quantised import integers
from bench.errors import DecodeError, Unavailable

BASE = "base"
HALF = ".half"
STEP = 1.75
"""Of the differences; what it costs was measured on Kodak (see WEIGHTS.md)."""

_STREAM, _ROWS, _COLUMNS, _STEP = "stream", "rows", "columns", "step"
CODED = (_STREAM, _ROWS, _COLUMNS)
"""Names of what ``coded`` returns."""
_RATIOS = "ratios"
_VERSION, _PLAIN, _CONDITIONAL = "version", 1, 2
_Z_TABLES = "z_frequencies"

_RATIO = 1.12
"""Between neighbouring scales of the grid, roughly; a column's index counts such steps."""


def pack(
    state: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    config: Config,
    gains: Mapping[str, Tensor],
    predicting: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors to store, without ``base`` and ``predicted_from``.

    Parameters
    ----------
    state
        Of the branch, its integer tables of z among them.
    base
        Tensors of the base file, as stored.
    config
        Of the branch.
    gains
        ``gain_units.level_gains`` of the base for a network without gain, else empty.
    predicting
        ``differences`` of another branch that predict those of this one.
    """
    steps, scales, others = integers(base)
    factors = folding(config, gains) if gains else {}
    differences, predicted = dict[str, NDArray[np.int32]](), dict[str, Tensor]()
    for name in sorted(steps):
        step = scales[name] * factors.get(name, torch.ones(()))
        moved = torch.round((state[name] / step - steps[name]) / STEP)
        if predicting is not None:
            one = ratio(moved, predicting[name], rows=False)
            predicted[name] = one
            moved -= prediction(predicting[name], one)
        differences[name] = moved.to(torch.int32).numpy()
    kept = dict(gains)
    if config.conditional:
        tables, kept = level_tables.pack(state)
        differences |= tables
        kept |= {name: state[name] for name in FIXED_GAINS}
        kept[_VERSION] = torch.tensor(_CONDITIONAL, dtype=torch.uint8)
    stored = {
        **coded(differences),
        _STEP: torch.tensor(STEP),
        _Z_TABLES: state[_Z_TABLES].to(torch.uint16),
        **kept,
    }
    if predicted:
        stored[_RATIOS] = torch.cat(list(predicted.values()))
    for name, value in _vectors(others, factors, gained=not kept):
        stored[name + HALF] = (state[name] - value).half()
    return stored


def unpack(
    stored: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    config: Config,
    predicting: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the branch that ``pack`` was given, up to rounding.

    Raises
    ------
    DecodeError
        If the stream is damaged, or the file does not hold what ``config`` needs.
    Unavailable
        If the file is of another version.
    """
    wanted = _CONDITIONAL if config.conditional else _PLAIN
    found = int(stored[_VERSION]) if _VERSION in stored else _PLAIN
    if found != wanted:
        raise Unavailable(
            f"differences of {config.variant} are of version {found}, wanted {wanted}",
            "Install a version of agvae-bench that knows them, or train the branch again.",
        )
    try:
        return _unpacked(stored, base, config, predicting)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DecodeError(
            f"the weights are damaged or are no differences of {config.variant}: {error}",
            "Install them again.",
        ) from error


def differences(
    stored: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    config: Config,
    predicting: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the integers of a branch by name, also those of a conditional network's tables.

    Parameters
    ----------
    stored, base, config
        As for ``unpack``.
    predicting
        The differences of the branch that predicts these; None where the file names none.

    Raises
    ------
    DecodeError
        If the stream is damaged.
    """
    steps, _, _ = integers(base)
    tables = level_tables.like(steps, config.levels) if config.conditional else {}
    read = decoded(stored, steps | tables)
    if predicting is not None:
        for name, one in zip(sorted(steps), stored[_RATIOS], strict=True):
            read[name] += prediction(predicting[name], one)
    return read


def _unpacked(
    stored: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    config: Config,
    predicting: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    steps, scales, others = integers(base)
    gains = {name: stored[name] for name in FIXED_GAINS if config.conditional or name in stored}
    factors = folding(config, gains) if gains and not config.conditional else {}
    read = differences(stored, base, config, predicting)
    state = {_Z_TABLES: stored[_Z_TABLES].to(torch.int32)}
    for name in steps:
        state[name] = (steps[name] + stored[_STEP] * read[name]) * scales[name]
        if name in factors:
            state[name] *= factors[name]
    if config.conditional:
        kept = {name: read[name] for name in read if name not in steps}
        state |= gains | level_tables.unpack(kept, stored[level_tables.OFFSETS], config.levels)
    for name, value in _vectors(others, factors, gained=not gains):
        state[name] = value + stored[name + HALF].float()
    return state


def ratio(steps: Tensor, predicting: Tensor, *, rows: bool) -> Tensor:
    """Return what predicting integers are multiplied by, least squares, float32 (rows or 1,)."""
    wanted, given = (t.double().reshape(len(t) if rows else 1, -1) for t in (steps, predicting))
    return ((wanted * given).sum(1) / given.square().sum(1).clamp_min(1)).float()


def prediction(predicting: Tensor, ratio: Tensor) -> Tensor:
    """Return the nearest integers to the products, halves to even, int32, of the tensor's shape.

    Single products in float32, correctly rounded: the same on every machine.
    """
    column = ratio.reshape(-1, *[1] * (predicting.ndim - 1))
    return torch.round(predicting.float() * column).to(torch.int32)


def coded(integers_of: Mapping[str, NDArray[np.int32]]) -> dict[str, Tensor]:
    """Return ``stream``, ``rows`` and ``columns`` of integers around zero, tensor by tensor."""
    encoder, rows, columns = Encoder(standard_bank()), [], []
    for name in sorted(integers_of):
        row, column = _scales_of(integers_of[name])
        encoder.put(integers_of[name], _contexts(integers_of[name].shape, row, column))
        rows.append(row)
        columns.append(column)
    return {
        _STREAM: torch.frombuffer(bytearray(encoder.finish(MAX_AUTO_LANES)), dtype=torch.uint8),
        _ROWS: torch.from_numpy(np.concatenate(rows)),
        _COLUMNS: torch.from_numpy(np.concatenate(columns)),
    }


def decoded(stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the integers that ``coded`` was given, int32, by name; ``like`` has their shapes.

    Raises
    ------
    DecodeError
        If the stream is damaged.
    """
    decoder = Decoder(standard_bank(), stored[_STREAM].numpy().tobytes(), MAX_AUTO_LANES)
    rows, columns = stored[_ROWS].numpy(), stored[_COLUMNS].numpy()
    integers_of = {}
    for name in sorted(like):
        shape = like[name].shape
        row, rows = np.split(rows, [shape[0]])
        column, columns = np.split(columns, [shape[1]])
        integers_of[name] = torch.from_numpy(decoder.get(_contexts(shape, row, column)))
    decoder.close()
    return integers_of


def _vectors(
    others: Mapping[str, Tensor], factors: Mapping[str, Tensor], *, gained: bool
) -> Iterator[tuple[str, Tensor]]:
    """Yield the base's vectors and tables as the branch starts from them, gains folded in."""
    for name, value in others.items():
        dropped = not gained and name.startswith(("gain_y.", "gain_z."))
        if name != _Z_TABLES and not dropped:
            yield name, value * factors[name] if name in factors else value


def _scales_of(difference: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Return the index of each output channel's scale, and what each input channel adds to it."""
    squares = np.square(difference.reshape(*difference.shape[:2], -1), dtype=np.float64)
    whole, by_row, by_column = (squares.mean(axes) + 1e-4 for axes in ((0, 1, 2), (1, 2), (0, 2)))
    grid = np.log(SCALES)
    row = np.abs(0.5 * np.log(by_row)[:, None] - grid).argmin(1)
    column = np.rint(0.5 * np.log(by_column / whole) / np.log(_RATIO)).clip(-NUM_SCALES, NUM_SCALES)
    return row.astype(np.uint8), column.astype(np.int8)


def _contexts(
    shape: tuple[int, ...], row: NDArray[np.uint8], column: NDArray[np.int8]
) -> NDArray[np.int32]:
    """Return the coder's table of each difference, of the tensor's shape."""
    index = (row[:, None].astype(np.int32) + column).clip(0, NUM_SCALES - 1)
    context = index * (NUM_SCALES + 1)  # the same scale on both sides
    return np.broadcast_to(context[:, :, None, None], shape)
