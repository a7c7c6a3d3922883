"""Parameters and multiply-accumulates, against counts by hand and on paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import registry
from bench.codec import complexity
from bench.codecs.agvae.model.config import preset
from bench.codecs.zoo import architectures


def _of(arch: str, *widths: int, **options) -> complexity.Complexity:
    net = architectures.find(arch, "")(*widths, **options).eval()
    net.update()
    more = {"s": 1} if architectures.levels(net) > 1 else {}
    return complexity.of_network(
        net, lambda n, x: n.compress(x, **more), lambda n, *coded: n.decompress(*coded, **more)
    )


def _four_layers(n: int, m: int) -> float:
    """kMAC a pixel of four 5x5 convolutions of stride 2 and three GDNs, by hand."""
    convolutions = 25 * (3 * n / 4 + n * n / 16 + n * n / 64 + n * m / 256)
    return (convolutions + n * n * (1 / 4 + 1 / 16 + 1 / 64)) / 1e3


def _hyper(n: int, m: int) -> float:
    """The same of mbt2018-mean's hyper-analysis, from y at 1/16 to z at 1/64 of each side."""
    return (9 * m * n / 256 + 25 * n * n / 1024 + 25 * n * n / 4096) / 1e3


def _hyper_back(n: int, m: int) -> float:
    """And of its hyper-synthesis; a transposed convolution works once for each input."""
    third = m * 3 // 2
    return (25 * n * m / 4096 + 25 * m * third / 1024 + 9 * third * 2 * m / 256) / 1e3


@pytest.mark.parametrize("widths", [(128, 192), (192, 320)])
def test_mbt2018_mean_as_by_hand(compressai: Callable[[str], object], widths: tuple[int, int]):
    """Both sides and the whole; the published widths of CompressAI's zoo."""
    compressai("zoo")
    found = _of("mbt2018-mean", *widths)
    transform, hyper, back = _four_layers(*widths), _hyper(*widths), _hyper_back(*widths)

    assert transform + hyper + back == pytest.approx(found.encoder_kmac, rel=1e-9)
    assert back + transform == pytest.approx(found.decoder_kmac, rel=1e-9)
    assert 2 * transform + hyper + back == pytest.approx(found.both_kmac, rel=1e-9)


def test_a_loop_is_counted_by_forward(compressai: Callable[[str], object]):
    """An autoregressive network needs numbers: masked convolution and 1x1 layers count once."""
    compressai("zoo")
    n = 192
    found = _of("mbt2018", n, n)
    context = (25 * n * 2 * n + 4 * n * (10 * n // 3) + (10 * n // 3) * (8 * n // 3)) / 256e3
    context += (8 * n // 3) * 2 * n / 256e3
    hyper = (9 * n * n / 256 + 25 * n * n / 1024 + 25 * n * n / 4096) / 1e3
    shared = context + _hyper_back_5x5(n)

    assert _four_layers(n, n) + shared == pytest.approx(found.decoder_kmac, rel=1e-6)
    assert _four_layers(n, n) + hyper + shared == pytest.approx(found.encoder_kmac, rel=1e-6)


def _hyper_back_5x5(n: int) -> float:
    third = n * 3 // 2
    return (25 * n * n / 4096 + 25 * n * third / 1024 + 9 * third * 2 * n / 256) / 1e3


@pytest.mark.parametrize(
    ("arch", "widths"),
    [
        ("bmshj2018-factorized", (8, 12)),
        ("cheng2020-attn", (8,)),
        ("cheng2020-anchor-checkerboard", (8,)),
        ("bmshj2018-hyperprior-vbr", (8, 12)),
        pytest.param("mbt2018-vbr", (8, 12), marks=pytest.mark.slow),  # its forward is a loop
    ],
)
def test_every_kind_is_counted(
    compressai: Callable[[str], object], arch: str, widths: tuple[int, ...]
):
    """Sides are known, smaller than the whole together, and larger than half of it."""
    compressai("zoo")
    found = _of(arch, *widths)

    assert 0 < found.encoder_kmac < found.both_kmac
    assert 0 < found.decoder_kmac < found.both_kmac
    assert found.encoder_kmac + found.decoder_kmac >= 0.9 * found.both_kmac
    assert 0 < found.encoder_parameters < found.parameters
    assert found.parameters < found.encoder_parameters + found.decoder_parameters


def test_counting_leaves_the_library_as_it_is(compressai: Callable[[str], object]):
    """The entropy models code again afterwards."""
    entropy_models = compressai("entropy_models")
    classes = {name: cls for name, cls in vars(entropy_models).items() if name[0].isupper()}
    before = {name: dict(vars(cls)) for name, cls in classes.items()}
    _of("bmshj2018-factorized", 8, 12)

    assert before == {name: dict(vars(cls)) for name, cls in classes.items()}


def test_parameters_are_those_of_the_modules(compressai: Callable[[str], object]):
    """By hand: four convolutions, three GDNs, and the densities of y, which both sides need."""
    compressai("zoo")
    n, m = 8, 12
    found = _of("bmshj2018-factorized", n, m)
    analysis = 25 * (3 * n + 2 * n * n + n * m) + 3 * n + m + 3 * (n * n + n)
    synthesis = 25 * (3 * n + 2 * n * n + n * m) + 3 * n + 3 + 3 * (n * n + n)

    assert found.parameters - synthesis == found.encoder_parameters
    assert found.parameters - analysis == found.decoder_parameters


def test_a_network_of_other_names_has_no_sides():
    """What cannot be told apart is not guessed."""
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 5, stride=2, padding=2)

        def forward(self, x):
            return self.first(x)

    def loop(_net, x):
        x.sum().item()

    def decompress(*_):
        raise AssertionError

    found = complexity.of_network(Plain(), loop, decompress)
    nothing = complexity.of_network(torch.nn.Bilinear(2, 2, 2), loop, decompress)

    assert complexity.Complexity(304, None, None, None, None, 0.075) == found
    assert (10, None, None) == (nothing.parameters, nothing.encoder_kmac, nothing.both_kmac)


def test_agvae_by_its_configuration():
    """The codec says what its modules cost; a codec without network says nothing."""
    from bench.codecs.agvae.model.complexity import of_config

    small = of_config(preset("small"))
    codec = registry.create("agvae-small")

    assert small == codec.complexity(codec.ladder()[0])
    assert 0 < small.decoder_kmac < small.both_kmac
    assert registry.create("jpeg").complexity(registry.create("jpeg").ladder()[0]) is None
