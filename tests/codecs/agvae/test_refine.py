"""The refining encoder: the loss it descends on, and what real files gain from it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from bench import registry
from bench.codec import Setting
from bench.codecs.agvae import engines
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import AgvaeRefined
from bench.codecs.agvae.model.config import LAMBDAS_MS_SSIM, LAMBDAS_MSE, lambda_at
from bench.codecs.agvae.model.model import straight_through
from bench.codecs.agvae.runtime import refinement, refinement_loss
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.runtime.refinement import Coins, refined
from bench.codecs.agvae.runtime.refinement_loss import Objective
from bench.codecs.agvae.weights import checkpoints
from bench.metrics import create as metric
from bench.rate_search import encode_to_bpp

VARIANTS = ("gain-asym", "gain-gauss", "nogain-asym", "nogain-gauss")


def straight(values, mode, *_):
    """Round with the gradient of what is rounded."""
    return straight_through(values - mode)


@pytest.fixture
def in_float32(monkeypatch):
    """Compute in float32 wherever the machine could do bfloat16."""
    monkeypatch.setattr(refinement_loss.precisions, "has_bfloat16", lambda _: False)


@functools.cache
def engine_of(variant: str = "gain-asym", metric: str = "mse") -> Engine:
    """Return an engine of packaged weights: small, a branch, or the network for MS-SSIM."""
    if variant != "gain-asym":
        found = checkpoints.find(variant, preset="base", metric=metric, branch=True)
        if not found:
            pytest.skip(f"no branch of {variant} is packaged")
        return Engine(found[len(found) // 2])  # without gain, the middle one of three levels
    preset = "small" if metric == "mse" else "base"
    return Engine(checkpoints.find(variant, preset=preset, metric=metric)[0])


def latents_of(engine, image, level):
    """Return gained y and z of an image, (H, W, M) and (h, w, hyper)."""
    return engine.gained(image, level * 256)


def loss_of_file(engine, image, level, steps, distance):
    """Return bits plus weighted distortion of a real file, both in bits."""
    data = engine.encode([image], [level * 256], refine=steps)[0]
    decoded = engine.decode([container.read(data)])[0]
    pixels = image.shape[0] * image.shape[1]
    weight = lambda_at(engine._level(level * 256), engine.manifest.metric)
    return 8 * len(data) + weight * pixels * distance(image, decoded), 8 * len(data)


def loss_of(image, data, decoded):
    """Return bits plus weighted squared error of a file of level 4."""
    pixels = image.shape[0] * image.shape[1]
    return 8 * len(data) + lambda_at(4.0, "mse") * pixels * squared_error(image, decoded)


def squared_error(one, other):
    """Return the mean squared error in steps of 8 bits."""
    return float(np.square(one.astype(float) - other).mean())


def test_cost_is_the_training_loss(in_float32, small_net, formula):
    """Bits plus lambda times 255^2 MSE times pixels, as the network's own forward says."""
    image, level = formula(64, 128), torch.tensor([2.5])
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    out = small_net(x, level, hard=True)
    mse = (out.x_hat - x).square().mean().item()
    expected = (out.bits_y + out.bits_z).item() + lambda_at(2.5, "mse") * 255**2 * mse * 64 * 128
    y = small_net.g_a(x - 0.5) * small_net.gain_y.gain(level)
    z = small_net.h_a(y) * small_net.gain_z.gain(level)

    tested = Objective(small_net.config, small_net.state_dict(), "mse")

    assert expected == pytest.approx(tested.cost(tested.problem(image, 2.5), y, z), rel=1e-5)


@pytest.mark.parametrize("size", [(200, 331), (16, 16), (1, 1)])
def test_tiles_have_the_gradient_of_the_whole(in_float32, small_net, formula, size):
    """Cut into tiles, the loss and its gradient stay what they are."""
    image = formula(*size)
    rows, columns = -(-size[0] // 16), -(-size[1] // 16)
    torch.manual_seed(1)
    y = 3 * torch.randn(1, 64, rows, columns)
    z = 3 * torch.randn(1, 32, -(-rows // 4), -(-columns // 4))
    found = []
    for tile in (4, 1000):
        tested = Objective(small_net.config, small_net.state_dict(), "mse", tile=tile)
        problem = tested.problem(image, 4)
        leaves = y.clone().requires_grad_(), z.clone().requires_grad_()
        tested.backward(problem, *leaves, straight)
        found.append((tested.cost(problem, y, z), leaves[0].grad, leaves[1].grad))

    (cost, *gradients), (expected_cost, *expected) = found

    assert cost == pytest.approx(expected_cost, rel=1e-5)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max())
    assert expected[0].abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_real_files_gain(variant, photo):
    """Twenty steps take more than 4 % of the rate off the loss, in bytes and decoded pixels."""
    engine, level = engine_of(variant), 4
    image = photo[64:224, 64:224].copy()
    level = level if engine.manifest.level is None else int(engine.manifest.level)

    before, bits = loss_of_file(engine, image, level, 0, squared_error)
    after, _ = loss_of_file(engine, image, level, 20, squared_error)

    assert after < before - 0.04 * bits


@pytest.mark.slow
def test_ms_ssim_is_refined_for_ms_ssim(photo):
    """The twin's files gain in its own loss."""
    similarity = metric("ms_ssim")
    engine, image = engine_of(metric="ms-ssim"), photo[64:240, 64:240].copy()

    def distance(one, other):
        return 1 - similarity(one, other)

    before, bits = loss_of_file(engine, image, 3, 0, distance)
    after, _ = loss_of_file(engine, image, 3, 40, distance)

    assert after < before - 0.02 * bits


def test_too_small_for_ms_ssim_stays_as_it_is(photo):
    """Where MS-SSIM is undefined the file is the unrefined one."""
    engine, image = engine_of(metric="ms-ssim"), photo[:160, :200].copy()

    assert engine.encode([image], [512]) == engine.encode([image], [512], refine=2)


def test_never_worse(monkeypatch, photo):
    """A search that ends badly changes nothing."""
    engine, image = engine_of(), photo[:64, :64].copy()
    y, z = latents_of(engine, image, 4)
    monkeypatch.setattr(refinement, "RATE", 30.0)

    found = refined(engine._objective, image, y, z, 4.0, 3)

    torch.testing.assert_close(found, (y, z), rtol=0, atol=0)


class SmallRefined(AgvaeRefined):
    """The refining codec with the small network."""

    name = "agvae-small-refined"
    preset = "small"


@pytest.mark.parametrize("circuits", [False, True], ids=["float32", "bfloat16"])
def test_same_file_again_and_for_every_decoder(monkeypatch, photo, circuits):
    """The search is repeatable, gains on every CPU, and its files are plain AG-VAE files.

    How much depends on the CPU and its threads: 13.5 and 14.3 % were seen on this crop.
    """
    monkeypatch.setattr(refinement_loss.precisions, "has_bfloat16", lambda _: circuits)
    engines._engine.cache_clear()
    codec, plain = SmallRefined(), registry.create("agvae-small")
    image = photo[64:224, 64:224].copy()
    setting = Setting(level=4, refine=20)

    data = codec.encode(image, setting)
    unrefined = codec.encode(image, setting.replace(refine=0))

    assert data == codec.encode_batch([image[::-1].copy(), image], [setting, setting])[1]
    assert loss_of(image, data, plain.decode(data)) < 0.96 * loss_of(
        image, unrefined, plain.decode(unrefined)
    )
    np.testing.assert_array_equal(codec.decode(data), plain.decode(data))
    assert plain.encode(image, Setting(level=4)) == unrefined
    assert codec.effort(setting) == "20 steps"
    engines._engine.cache_clear()


def test_a_rate_is_met_by_refined_files(photo):
    """``--bpp`` keeps the options that it was given."""
    codec, image = registry.create("agvae-refined"), photo[:64, :64].copy()

    found = encode_to_bpp(codec, image, Setting(refine=2), 1.5)

    assert found.setting["refine"] == 2
    assert found.data == codec.encode(image, found.setting)


def test_coins_fall_to_the_nearest_integer_in_the_end():
    """Odds follow the distance from the integers beside a residual; cold, the nearest wins."""
    values, mode = torch.linspace(-3, 3, 6001).requires_grad_(), torch.tensor(0.25)
    residuals = (values - mode).detach()

    warm, cold = (
        Coins(torch.device("cpu")).toss(0, t)(values, mode, torch.abs, 0.0).detach()
        for t in (0.4, 0.01)
    )

    away = (residuals - residuals.round()).abs()
    torch.testing.assert_close(warm, warm.round(), rtol=0, atol=1e-6)
    torch.testing.assert_close(cold[away < 0.4], residuals[away < 0.4].round())
    assert (warm.round() != residuals.round()).float().mean() > 0.02
    assert (warm - residuals).mean().abs() < 0.02


def test_the_gradient_of_a_coin_is_the_difference_of_its_sides():
    """Of a quadratic distortion and any bits, exactly, whichever way the coin falls."""
    values = torch.linspace(-3, 3, 601).requires_grad_()
    mode = torch.full_like(values, 0.3).requires_grad_()
    low = (values - mode).detach().floor()
    coins, seen = Coins(torch.device("cpu")), []

    def bits(residual):
        return residual.square() + residual.abs()

    def distortion(y_hat):
        return 5.5 * (y_hat - 0.7).square()  # of curvature 11

    for step in range(4):
        values.grad = mode.grad = None
        residual = coins.toss(step, 0.4)(values, mode, bits, 11.0)
        distortion(residual + mode).sum().backward()
        seen.append((residual - low).detach().round())
        middle = mode.detach()
        both = [distortion(k + middle) + bits(k) for k in (low, low + 1)]
        torch.testing.assert_close(values.grad, both[1] - both[0], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(mode.grad, bits(low) - bits(low + 1), rtol=1e-4, atol=1e-3)

    assert (torch.stack(seen).unique(dim=0).shape[0]) > 1


def test_coins_fall_evenly_over_the_steps():
    """In 25 steps each coin shows its odds to 0.1; drawn anew each time, many would miss by 0.3."""
    values, mode = torch.linspace(0.2, 0.8, 500).requires_grad_(), torch.tensor(0.0)
    coins = Coins(torch.device("cpu"))

    tossed = [coins.toss(i, 0.4)(values, mode, torch.abs, 0.0).detach() for i in range(25)]
    again = Coins(torch.device("cpu")).toss(0, 0.4)(values, mode, torch.abs, 0.0).detach()

    shown = torch.stack(tossed).mean(0)
    torch.testing.assert_close(shown, refinement._odds(values.detach(), 0.4), rtol=0, atol=0.1)
    assert torch.equal(tossed[0], again)


def test_lambda_between_levels():
    """Levels have the training's weights; between two lies the geometric mean."""
    assert [lambda_at(float(level), "mse") for level in range(8)] == pytest.approx(LAMBDAS_MSE)
    assert lambda_at(7, "ms-ssim") == pytest.approx(LAMBDAS_MS_SSIM[7])
    middle = (LAMBDAS_MSE[2] * LAMBDAS_MSE[3]) ** 0.5
    assert lambda_at(2.5, "mse") == pytest.approx(middle)
