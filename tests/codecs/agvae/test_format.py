"""FORMAT.md is enough: a second decoder, in integers only, written from the document alone."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.frequency_tables import SCALE_THRESHOLDS, Bank, standard_bank
from bench.codecs.agvae.bitstream.rans import Decoder
from bench.codecs.agvae.weights import checkpoints

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
    t = min(level_steps // 256, config.levels - 2)
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


def decode(data: bytes, tensors: dict, config) -> np.ndarray:
    """Return y_hat in steps, (M, H, W)."""
    header, payload = container.read(data)
    weights = Weights({k: v for k, v in tensors.items() if k != checkpoints.Z_TABLES})
    bank = standard_bank().with_z(tensors[checkpoints.Z_TABLES].numpy())
    height, width = -(-header.height // 16), -(-header.width // 16)
    stream = Decoder(bank, payload, header.lanes)
    z_size = (-(-height // 4), -(-width // 4), config.hyper)
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
