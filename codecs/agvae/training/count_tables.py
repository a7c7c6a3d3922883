"""Coding tables from photographs: what z and y really are, counted where the model only predicts.

For y the split normal is corrected: by the share of negative, zero and positive symbols for each
pair of scales, and by the magnitudes of either side for each scale. For z two linear predictions
from decoded neighbours are fitted by least squares, and the tables of their contexts are clustered
until a few hundred remain. ``ENTROPY.md`` says how files use them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.codecs.agvae.bitstream import coding_tables, hyper_context
from bench.codecs.agvae.bitstream.coding_tables import (
    GROUPS,
    SIGN_BITS,
    TAIL_TOTAL,
    WEIGHT_LIMIT,
    Array,
)
from bench.codecs.agvae.bitstream.frequency_tables import (
    ESCAPE_LENGTH,
    MAX_RADIUS,
    NUM_SCALES,
    quantise_pmf,
    radius,
    standard_bank,
)
from bench.codecs.agvae.bitstream.hyper_context import (
    OWN_LIMIT,
    STEPS,
    HyperContext,
    Part,
    parts,
)
from bench.codecs.agvae.bitstream.latent_coder import SYMBOL_LIMIT
from bench.codecs.agvae.bitstream.rans_kernels import TOTAL
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS
from bench.codecs.agvae.model.config import PASSES, Config
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.training.photographs import Photos
from bench.codecs.agvae.weights.checkpoints import Z_TABLES, Manifest, load
from bench.files import write_atomically

Floats = NDArray[np.float64]

VALUE_THRESHOLDS = (-127, -63, -31, -12, -3, 4, 13, 32, 64, 128)
MAGNITUDE_THRESHOLDS = (4, 10, 19, 45, 102, 192)
"""Where the predictions of z are cut, in steps of 1/128."""
Z_RADIUS = 20
TABLES = 256
ROUNDS = 25
MODEL_WEIGHT = 200.0
"""Symbols that the model's opinion of y counts as."""
MODEL_WEIGHT_Z = 20.0
"""Symbols that the model's opinion of z counts as in a context's table over all levels."""
CONTEXT_WEIGHT = 30.0
"""Symbols that this table counts as at each level."""
Y_EVERY, Y_LEVELS = 3, 3
"""y is counted on every third photograph, at three levels."""
RIDGE = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What was seen on photographs.

    Attributes
    ----------
    z
        One entry a photograph: z at each level, int16 (levels, h, w, C).
    y
        How often each entry of ``standard_bank`` was coded, int64.
    """

    z: list[NDArray[np.int16]]
    y: NDArray[np.int64]


def attach(manifest: Manifest, counts: Counts, photos: Photos) -> Path:
    """Fit tables, write them beside the weights, and note them in the manifest; return their path.

    Files that these weights write from now on carry another id; those that they wrote before are
    decoded as before.
    """
    own_z = load(manifest)[Z_TABLES].numpy()
    arrays = fit(counts, own_z, manifest.config)
    coding_tables.save(manifest.tables_path, arrays)
    facts = {
        **manifest.facts,
        "coding_tables": {
            "sha256": coding_tables.digest(arrays),
            "size_bytes": manifest.tables_path.stat().st_size,
            "data": photos.facts(),
        },
    }
    path = manifest.folder / f"{manifest.name}.json"
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    return manifest.tables_path


def levels_of(config: Config) -> range:
    """Return the levels that tables are made for."""
    return range(config.lowest_level, config.levels)


def count(
    engine: Engine, photos: Photos, progress: Callable[[int], None] = lambda _: None
) -> Counts:
    """Code photographs and count.

    Parameters
    ----------
    engine
        Of the network.
    photos
        None of which may be among those that results are reported on.
    progress
        Is told how many photographs are done.
    """
    levels = levels_of(engine.config)
    of_z, of_y = [], np.zeros(standard_bank().origin[ESCAPE_LENGTH], np.int64)
    for i, photo in enumerate(photos.members):
        gained = [engine.gained(photo.pixels, level * LEVEL_STEPS) for level in levels]
        of_z.append(np.stack([_rounded(z).astype(np.int16) for _, z in gained]))
        for turn in range(Y_LEVELS) if i % Y_EVERY == 0 else ():
            k = (i // Y_EVERY + turn * len(levels) // Y_LEVELS) % len(levels)
            for entries in _coded_entries(engine, *gained[k], levels[k] * LEVEL_STEPS):
                of_y += np.bincount(entries, minlength=of_y.size)
        progress(i + 1)
    return Counts(of_z, of_y)


def _rounded(z: Tensor) -> NDArray[np.float32]:
    return z.round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).cpu().numpy()


def _coded_entries(engine: Engine, y: Tensor, z: Tensor, level_steps: int) -> Iterator[Array]:
    """Yield the entries of ``standard_bank`` that the symbols of each pass are coded with."""
    bank = standard_bank()
    coder, size = engine.coder, (y.shape[0], y.shape[1])
    psi = coder.networks.hyper_features(torch.from_numpy(_rounded(z))[None], [level_steps], size)
    y_hat = torch.zeros_like(psi)
    for k in range(PASSES):
        symbols, contexts = (part.reshape(-1) for part in coder.encode_pass(k, psi, y[None], y_hat))
        held = np.clip(symbols, bank.low[contexts], bank.high[contexts])
        yield bank.origin[contexts] + held


def fit(counts: Counts, own_z: Array, config: Config) -> dict[str, Array]:
    """Return the arrays of ``coding_tables.py``.

    Parameters
    ----------
    counts
        From ``count``.
    own_z
        The model's tables of z, integers (C, n + 2).
    config
        Of the network.
    """
    sign, tail = fit_y(counts.y)
    return {"y_sign": sign, "y_tail": tail, **fit_z(counts.z, own_z, config)}


def fit_y(seen: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return ``y_sign`` and ``y_tail`` from how often each entry was coded."""
    bank = standard_bank()
    entries = bank.entries.view(np.int64)[: seen.size]
    symbol, mass = entries >> 32, (entries >> 15 & TOTAL - 1) / TOTAL
    context = np.cumsum((entries & TOTAL - 1) == 0) - 1
    left, right = np.divmod(context, NUM_SCALES)
    whole = np.bincount(context, seen, NUM_SCALES**2)
    sign = np.empty((NUM_SCALES**2, 3), np.int32)
    shares = np.zeros((NUM_SCALES**2, 3))
    for column, side in enumerate((-1, 0, 1)):
        here = np.sign(symbol) == side
        model = np.bincount(context[here], mass[here], NUM_SCALES**2)
        found = np.bincount(context[here], seen[here], NUM_SCALES**2)
        shares[:, column] = (found + MODEL_WEIGHT * model) / (whole + MODEL_WEIGHT)
    for row, share in enumerate(shares):
        sign[row] = quantise_pmf(share, SIGN_BITS)
    tail = np.zeros((2, NUM_SCALES, MAX_RADIUS + 1), np.int32)
    for side, scale in enumerate((left, right)):
        here = np.sign(symbol) == 2 * side - 1
        tail[side] = _tails(
            scale[here], np.abs(symbol[here]), seen[here], mass[here] * (left == right)[here]
        )
    return sign, tail


def _tails(scale: Array, magnitude: Array, seen: Array, model: Array) -> NDArray[np.int32]:
    """Return the masses of one side's magnitudes for each scale, int32 (40, 256)."""
    tails = np.zeros((NUM_SCALES, MAX_RADIUS + 1), np.int32)
    for index in range(NUM_SCALES):
        here, reach = scale == index, radius(index) + 1
        found = np.bincount(magnitude[here] - 1, seen[here], reach)
        prior = np.bincount(magnitude[here] - 1, model[here], reach)
        tails[index, :reach] = _apportioned(found + MODEL_WEIGHT * prior / prior.sum())
    return tails


def _apportioned(masses: Floats) -> NDArray[np.int32]:
    """Return integers, at least 1 each, in proportion to masses, of sum ``TAIL_TOTAL``."""
    shares = 1 + np.floor(masses / masses.sum() * (TAIL_TOTAL - masses.size)).astype(np.int32)
    shares[np.argmax(shares)] += TAIL_TOTAL - shares.sum()
    found: NDArray[np.int32] = shares
    return found


def fit_z(z: Sequence[NDArray[np.int16]], own_z: Array, config: Config) -> dict[str, Array]:
    """Return the arrays of z from z itself, one entry a photograph: (levels, h, w, C)."""
    weights = _predictions(z, config)
    thresholds = {
        "z_value_thresholds": np.array(VALUE_THRESHOLDS, np.int32),
        "z_magnitude_thresholds": np.array(MAGNITUDE_THRESHOLDS, np.int32),
    }
    contexts = (len(VALUE_THRESHOLDS) + 1) * (len(MAGNITUDE_THRESHOLDS) + 1) + 1
    levels = len(levels_of(config))
    arrays: dict[str, Array] = {"z_weights": weights, **thresholds}
    blank = np.zeros((levels, contexts, config.hyper), np.uint8)
    tensors = {k: torch.from_numpy(v) for k, v in {**arrays, "z_index": blank}.items()}
    seen = _histograms(z, HyperContext.of(tensors, config.lowest_level))
    tables, index = _clustered(_smoothed(seen, own_z))
    return {**arrays, "z_tables": tables, "z_index": index.reshape(blank.shape)}


def _observations(
    z: Sequence[NDArray[np.int16]], config: Config
) -> Iterator[tuple[Part, Tensor, Tensor]]:
    """Yield each part of every photograph's z with features and symbols, all levels at once."""
    for one in z:
        values = torch.from_numpy(one.astype(np.int32))
        for part in parts(config.hyper):
            here = values[:, part.rows, part.columns, part.channels]
            yield part, hyper_context.features(values, part), here


def _predictions(z: Sequence[NDArray[np.int16]], config: Config) -> NDArray[np.int16]:
    """Return the weights of both predictions, fitted by least squares: (2, F, 2 C)."""
    hyper, share = config.hyper, config.hyper // GROUPS
    squares: dict[tuple[int, int], Tensor] = {}
    products: dict[tuple[int, int], Tensor] = {}
    for part, known, symbols in _observations(z, config):
        key = (min(part.position_class, 1), part.group)
        x = known.reshape(-1, known.shape[3])
        y = symbols.reshape(-1, share).float().clamp(-OWN_LIMIT, OWN_LIMIT)
        squares[key] = squares.get(key, 0) + (x.T @ x).double()
        products[key] = products.get(key, 0) + (x.T @ torch.cat((y, y.abs()), 1)).double()
    whole = np.zeros((2, 2 * hyper + 2 * (hyper - share) + 1, 2 * hyper), np.int16)
    for (kind, group), square in squares.items():
        ridge = RIDGE * torch.eye(len(square), dtype=torch.float64)
        ridge[-1, -1] = 1e-3
        solved = torch.linalg.solve(square + ridge, products[kind, group]).numpy()
        steps = np.rint(solved * STEPS)
        rows, columns = hyper_context.places(hyper, group)
        whole[kind][np.ix_(rows, columns)] = np.clip(steps, -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return whole


def _histograms(z: Sequence[NDArray[np.int16]], context: HyperContext) -> NDArray[np.float32]:
    """Return how often each symbol came: (levels, contexts, C, 2 R + 3)."""
    levels, contexts, hyper = context.index.shape
    size = 2 * Z_RADIUS + 3
    seen = np.zeros(levels * contexts * hyper * size, np.float32)
    rows = np.arange(levels)[:, None, None, None]
    for one in z:
        values = torch.from_numpy(one.astype(np.int32))
        held = np.clip(one, -Z_RADIUS - 1, Z_RADIUS + 1) + (Z_RADIUS + 1)
        keys = []
        for part in parts(hyper):
            found = context.contexts(values, part).numpy()
            channels = np.arange(part.channels.start, part.channels.stop)
            symbols = held[:, part.rows, part.columns, part.channels]
            key = ((rows * contexts + found) * hyper + channels) * size + symbols
            keys.append(key.reshape(-1))
        seen += np.bincount(np.concatenate(keys), minlength=seen.size)
    return seen.reshape(levels, contexts, hyper, size)


def _smoothed(seen: NDArray[np.float32], own_z: Array) -> NDArray[np.float32]:
    """Return counts with those of the next levels, and what contexts and model say, added."""
    middle = (own_z.shape[1] - 1) // 2
    model = np.zeros((own_z.shape[0], 2 * Z_RADIUS + 3))
    reach = min(Z_RADIUS, middle - 1)
    inner = own_z[:, middle - reach : middle + reach + 1]
    model[:, Z_RADIUS + 1 - reach : Z_RADIUS + 2 + reach] = inner
    model[:, 0] += own_z[:, : middle - reach].sum(1)
    model[:, -1] += own_z[:, middle + reach + 1 :].sum(1)
    everywhere = seen.sum(0)
    totals = everywhere.sum(-1, keepdims=True)
    prior = (everywhere + MODEL_WEIGHT_Z * model / TOTAL) / (totals + MODEL_WEIGHT_Z)
    near = np.stack([seen[max(0, i - 1) : i + 2].sum(0) for i in range(len(seen))])
    rows: NDArray[np.float32] = (near + CONTEXT_WEIGHT * prior).astype(np.float32)
    return rows.reshape(-1, model.shape[1])


def _clustered(rows: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return tables, (256, n), and the one of each row of counts: k-means by code length."""
    weight = rows.sum(1)
    share = rows / weight[:, None]
    entropy = -(share * np.log2(share + 1e-12)).sum(1)
    order = np.lexsort((share @ np.arange(share.shape[1]), entropy))
    along = np.cumsum(weight[order], dtype=np.float64)
    start = np.searchsorted(along, (np.arange(TABLES) + 0.5) / TABLES * along[-1])
    centres = share[order[start]]
    for _ in range(ROUNDS):
        bits = rows @ -np.log2(np.maximum(centres, 1 / TOTAL)).T
        nearest = bits.argmin(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, rows)
        empty = np.flatnonzero(sums.sum(1) == 0)
        excess = bits[np.arange(len(rows)), nearest] - weight * entropy
        sums[empty] = rows[np.argsort(-excess)[: empty.size]]
        centres = sums / sums.sum(1, keepdims=True)
    tables = np.stack([quantise_pmf(centre.astype(np.float64)) for centre in centres])
    bits = rows @ -np.log2(tables.astype(np.float32) / TOTAL).T
    return tables, bits.argmin(1).astype(np.uint8)
