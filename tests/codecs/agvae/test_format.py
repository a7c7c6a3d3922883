"""FORMAT.md is enough: a second decoder, in integers only, written from the document alone."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from bench import registry
from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.coding_tables import read
from bench.codecs.agvae.bitstream.frequency_tables import (
    SCALE_THRESHOLDS,
    Bank,
    corrected_bank,
    standard_bank,
)
from bench.codecs.agvae.bitstream.rans import Decoder
from bench.codecs.agvae.weights import checkpoints
from bench.stopwatch import Phases

V, C = (0, 2, 1, 3), (0, 1, 3, 2)
LIMIT = 1 << 22


def requantise(total: np.ndarray, shift: int) -> np.ndarray:
    """Divide by 2^shift, round half to even, saturate."""
    quotient, rest = total >> shift, total & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    up = (rest > half) | ((rest == half) & (quotient & 1 == 1))
    return np.clip(quotient + up, -LIMIT, LIMIT)


def leak(x: np.ndarray) -> np.ndarray:
    """Leaky ReLU: from steps to eighths of a step."""
    return np.where(x < 0, x, 8 * x)


class Weights:
    """A network's tensors as integers: multiples of 2^-12."""

    def __init__(self, tensors: dict) -> None:
        self.tensors = {name: tensor.double().numpy() for name, tensor in tensors.items()}

    def grid(self, name: str) -> np.ndarray:
        return np.rint(self.tensors[name] * 4096).astype(np.int64)

    def conv(self, x: np.ndarray, name: str, *, eighths: bool = False) -> np.ndarray:
        """Apply a 1x1, 3x3 or depthwise layer to (C, H, W) steps, or eighths of steps."""
        weight, bias = self.grid(f"{name}.weight"), self.grid(f"{name}.bias")
        size = weight.shape[2]
        shift = 15 if eighths else 12
        total = np.zeros((len(weight), *x.shape[1:]), np.int64)
        total += (bias << (8 + shift - 12))[:, None, None]
        padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
        for i in range(size):
            for j in range(size):
                part = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
                if weight.shape[1] == 1 and len(weight) == len(x):
                    total += weight[:, 0, i, j, None, None] * part
                else:
                    total += np.einsum("oc,chw->ohw", weight[:, :, i, j], part)
        return requantise(total, shift)


def shuffle(x: np.ndarray) -> np.ndarray:
    """Move channel 4 c + 2 a + b to channel c at sub-position (a, b)."""
    channels, height, width = x.shape
    x = x.reshape(channels // 4, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
    return x.reshape(channels // 4, 2 * height, 2 * width)


def gain(weights: Weights, config, level_steps: int) -> np.ndarray:
    """Return the inverse hyper gains G at a level."""
    if not config.gain:
        return np.full(config.hyper, 4096)
    getcontext().prec = 40
    t = min(max(level_steps // 256, 0), config.levels - 2)
    f = level_steps - 256 * t
    table = np.rint(weights.tensors["gain_z.log_inverse"] * 2**16).astype(int)
    exponents = (256 - f) * table[t] + f * table[t + 1]
    return np.array([round(4096 * (Decimal(int(e)) / 2**24).exp()) for e in exponents])


def hyper_features(weights: Weights, z: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    x = requantise(np.clip(z, -16384, 16384) * inverse[:, None, None], 4)
    x = leak(shuffle(weights.conv(x, "h_s.0.0")))
    x = leak(shuffle(weights.conv(x, "h_s.2.0", eighths=True)))
    return weights.conv(x, "h_s.4", eighths=True)


def predict(weights: Weights, config, k: int, psi: np.ndarray, y_hat: np.ndarray) -> np.ndarray:
    x = weights.conv(psi if k == 0 else np.concatenate((psi, y_hat)), f"context.mix.{k}")
    for i in range(config.blocks):
        name = f"context.trunk.{i}"
        inner = weights.conv(leak(weights.conv(x, f"{name}.dc.0")), f"{name}.dc.2", eighths=True)
        x = np.clip(x + weights.conv(inner, f"{name}.dc.3"), -LIMIT, LIMIT)
        wide = leak(weights.conv(x, f"{name}.ffn.0"))
        x = np.clip(x + weights.conv(wide, f"{name}.ffn.2", eighths=True), -LIMIT, LIMIT)
    return weights.conv(x, f"context.head.{k}")


def y_bank(counted: dict, choice: int) -> Bank:
    """Return the tables of y that a file chose: ENTROPY.md 1.2 or 1.6."""
    if not choice & 2:
        return standard_bank()
    return corrected_bank(counted["y_sign"], counted["y_tail"])


def z_by_neighbours(stream: Decoder, counted: dict, size, level_steps: int) -> np.ndarray:
    """Decode z in 16 parts, symbol after symbol, as ENTROPY.md 1.7 says."""
    rows, columns, hyper = size
    share = hyper // 4
    z = np.zeros((rows + 2, columns + 2, hyper), int)  # a border of zeros
    level = min(max((level_steps + 128) // 256 + 2, 0), len(counted["z_index"]) - 1)
    for number, (row, column) in enumerate(((0, 0), (1, 1), (0, 1), (1, 0))):
        near = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if number == 1 else [(-1, 0), (1, 0)]
        near = [] if number == 0 else near if number == 1 else [*near, (0, -1), (0, 1)]
        places = [(i, j) for i in range(row, rows, 2) for j in range(column, columns, 2)]
        for group in range(4):
            channels = range(group * share, (group + 1) * share)
            tables = []
            for i, j in places:
                around = [z[i + 1 + di, j + 1 + dj] for di, dj in near] or [np.zeros(hyper, int)]
                own = np.zeros(hyper - share, int)
                own[: group * share] = np.clip(z[i + 1, j + 1, : group * share], -4, 4)
                known = np.concatenate((
                    np.clip(np.sum(around, 0), -8, 8),
                    np.minimum(np.sum(np.abs(around), 0), 12),
                    own, np.abs(own), [1],
                ))  # fmt: skip
                tables += [table_of(counted, known, level, number, group, c) for c in channels]
            symbols = stream.get(np.array(tables, np.int32) + Bank.z_context(0))
            for (i, j), part in zip(places, symbols.reshape(-1, share), strict=True):
                z[i + 1, j + 1, list(channels)] = part
    return z[1:-1, 1:-1]


def table_of(counted: dict, known, level: int, number: int, group: int, channel: int) -> int:
    """Return the table of one symbol of z."""
    value, magnitude = counted["z_value_thresholds"], counted["z_magnitude_thresholds"]
    context = (len(value) + 1) * (len(magnitude) + 1)
    if number or group:
        weights = counted["z_weights"][min(number, 1)].astype(int)
        hyper = weights.shape[1] // 2
        mode, size = known @ weights[:, channel], known @ weights[:, hyper + channel]
        context = int((magnitude <= size).sum() * (len(value) + 1) + (value <= mode).sum())
    return int(counted["z_index"][level, context, channel])


def decode(data: bytes, tensors: dict, config, counted: dict | None = None) -> np.ndarray:
    """Return y_hat in steps, (M, H, W)."""
    header, payload = container.read(data)
    weights = Weights({k: v for k, v in tensors.items() if k != checkpoints.Z_TABLES})
    bank = standard_bank() if counted is None else y_bank(counted, header.tables)
    own = tensors[checkpoints.Z_TABLES].numpy()
    by_neighbours = header.version > 1 and header.tables & 1
    height, width = -(-header.height // 16), -(-header.width // 16)
    z_size = (-(-height // 4), -(-width // 4), config.hyper)
    if by_neighbours:
        stream = Decoder(bank.with_z(counted["z_tables"]), payload, header.lanes)
        z = z_by_neighbours(stream, counted, z_size, header.level_steps)
    else:
        stream = Decoder(bank.with_z(own), payload, header.lanes)
        z = stream.get(np.broadcast_to(Bank.z_context(np.arange(config.hyper)), z_size))
    inverse = gain(weights, config, header.level_steps)
    psi = hyper_features(weights, z.transpose(2, 0, 1).astype(np.int64), inverse)
    psi = psi[:, :height, :width]
    y_hat = np.zeros((config.latent, height, width), np.int64)
    for k in range(4):
        mu, left, right = predict(weights, config, k, psi, y_hat).reshape(3, *y_hat.shape)
        if not config.asymmetric:
            left = right = (left + right) >> 1
        where = [
            (
                slice((V[k] - C[c]) % 4 * config.quarter, ((V[k] - C[c]) % 4 + 1) * config.quarter),
                slice(c // 2, None, 2),
                slice(c % 2, None, 2),
            )
            for c in range(4)
        ]
        indices = [np.searchsorted(SCALE_THRESHOLDS, side, "right") for side in (left, right)]
        tables = 40 * indices[0] + indices[1]
        symbols = stream.get(
            np.concatenate([tables[at].transpose(1, 2, 0).ravel() for at in where])
        )
        for at in where:
            shape = mu[at].transpose(1, 2, 0).shape
            part, symbols = np.split(symbols, [mu[at].size])
            residual = part.reshape(shape).transpose(2, 0, 1).astype(np.int64)
            y_hat[at] = np.clip(256 * residual + mu[at], -LIMIT, LIMIT)
    stream.close()
    return y_hat


@pytest.mark.parametrize("variant", ["gain-asym", "gain-gauss", "nogain-asym"])
@pytest.mark.parametrize(("size", "level"), [((1, 1), 4), ((70, 150), 4), ((150, 33), 1)])
def test_integer_decoder_agrees(small, formula, variant, size, level):
    """The integers of a second implementation are those of the float64 one."""
    codec = small(variant)
    level = level + 0.3 if "nogain" not in variant else level
    data = codec.encode(formula(*size), Setting(level=level))
    header, payload = container.read(data)
    network = codec._engine_of(header)

    expected = decode(data, checkpoints.load(network.manifest), network.config)

    got = network.decode_latents([(header, payload)])[0].permute(2, 0, 1).numpy()
    np.testing.assert_array_equal(expected, got.astype(np.int64))


@pytest.mark.parametrize(("size", "level"), [((1, 1), 4), ((150, 200), 0.3), ((130, 70), -2)])
@pytest.mark.parametrize("choice", [0, 1, 2, 3])
def test_every_choice_of_tables_decodes(formula, monkeypatch, size, level, choice):
    """The shipped small network with each set of its tables, by the second decoder as well."""
    codec = registry.create("agvae-small")
    network = codec._engine(round(level * 256))
    manifest, counted = network.manifest, read(network.manifest.tables_path)
    y, z = network.gained(formula(*size), round(level * 256))
    monkeypatch.setattr(network.coder, "_shorter_z", lambda *held: held[choice & 1])
    monkeypatch.setattr(network.coder, "_shorter_y", lambda *_: choice & 2)
    [stream] = network.coder.encode(y[None], z[None], [round(level * 256)], Phases())
    header = container.Header(
        bytes.fromhex(manifest.file_id), size[1], size[0], round(level * 256), stream.lanes, choice
    )
    data = container.write(header, stream.data)

    assert choice == stream.tables
    expected = decode(data, checkpoints.load(manifest), network.config, counted)
    got = network.decode_latents([container.read(data)])[0].permute(2, 0, 1).numpy()
    np.testing.assert_array_equal(expected, got.astype(np.int64))
