"""What gain units cost: parameters and multiplications added (Cui et al. 2021, Table 1).

Counted on the real modules, not by formula: parameters of the gain units against those of the same
network without them, and multiplications of gains (one per latent and hyper-latent value, gain and
inverse) against the multiply-accumulates of the convolutions, GDN included. Entropy coding and the
factorised density of z are in neither count. The other mechanisms (``mechanisms``) are counted
likewise on our own networks; a conditional convolution multiplies each of its outputs once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from bench.codec.complexity import counted
from bench.codecs.agvae.model.compressai_backbones import GainedBackbone
from bench.codecs.agvae.model.config import (
    LAMBDAS_MSE,
    MECHANISMS,
    PASSES,
    STRIDE,
    Config,
    preset,
)
from bench.codecs.agvae.model.model import AGVAE
from bench.errors import Unavailable
from bench.figures import published
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.measurement import provenance
from bench.output.figure import COMPUTED, REPORTED, Product, Skipped
from bench.output.provenance import of_record
from bench.output.table_formats import Cell, Table, number

_SIDE = 256
_WORDS = {
    "cvr": "gain units on y alone (CVR)",
    "scaling": "reciprocal gains on y (Theis 2017)",
    "scalar": "one gain per level",
    "conditional": "conditional convolutions (Choi 2019)",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    backbones
        (name, N, M, levels) of CompressAI's hyperpriors.
    presets
        (name, levels) of our own networks.
    """

    backbones: tuple[tuple[str, int, int, int], ...] = ()
    presets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the table.

    Attributes
    ----------
    network, channels, levels
        Which; ``channels`` in words.
    status
        ``COMPUTED`` or ``REPORTED``.
    source
        Of reported lines.
    parameters, parameters_added
        Of the network without gain units, and of the units; NaN where not reported.
    macs, macs_added
        For one picture of 256x256.
    parameters_percent, macs_percent
        Added over the network's.
    """

    network: str
    channels: str
    levels: int
    status: str
    source: str
    parameters: float
    parameters_added: float
    parameters_percent: float
    macs: float
    macs_added: float
    macs_percent: float


def make(_context: Context, entry: Entry, options: Options) -> Product:
    """Return the table; see the module."""
    try:
        costs = [*computed(options), *reported()]
    except Unavailable as error:  # CompressAI is missing, whose networks are counted
        raise Skipped(error.what, error.next_step) from error
    stamp = of_record(provenance.record(), datasets={"images": "none"})
    data = pd.DataFrame([asdict(cost) for cost in costs])
    caption = "What gain units add to a network: parameters and multiply-accumulates (MACs)."
    counted = (
        "Computed: parameters of the units over those of the network without them; one "
        "multiplication per value of y and z, gain and inverse, over the MACs of all convolutions "
        f"and GDN for {_SIDE}x{_SIDE} pixels; of a conditional convolution one per output."
    )
    unknown = (
        "The paper does not say how it counted operations, nor its channel numbers; its parameter "
        "shares of gain units fit N = 128, M = 192, and those of bottleneck scaling one gain for "
        "each of the 192 channels and level, not one number."
    )
    notes = (counted, unknown)
    rows = [[Cell(text) for text in _cells(cost)] for cost in costs]
    table = Table(
        name=entry.id,
        caption=caption,
        head=(
            *("network", "N, M", "levels", "parameters", "added", "added (%)"),
            *("MACs", "added (%)", "status"),
        ),
        align="llrrrrrrl",
        rows=rows,
        notes=notes,
    )
    return Product(data, stamp, table=table, notes=notes)


def _cells(cost: Cost) -> tuple[str, ...]:
    unknown = math.isnan(cost.parameters)
    return (
        cost.network,
        cost.channels,
        str(cost.levels),
        "" if unknown else f"{cost.parameters / 1e6:.2f} M",
        "" if unknown else f"{cost.parameters_added:,.0f}",
        number(cost.parameters_percent, 3),
        "" if unknown else f"{cost.macs / 1e9:.2f} G",
        number(cost.macs_percent, 4),
        cost.status,
    )


def computed(options: Options) -> Iterator[Cost]:
    """Yield the counts of our own modules."""
    for name, channels, latent, levels in options.backbones:
        lambdas = LAMBDAS_MSE[:levels]
        plain, gained = (
            GainedBackbone(name, channels, latent, lambdas=lambdas, gain=gain, asymmetric=False)
            for gain in (False, True)
        )
        macs, values = backbone_macs(plain)
        yield _cost(name, f"{channels}, {latent}", levels, plain, gained, macs, 2 * values)
    for name, levels in options.presets:
        # With and without gain; the weights do not matter, only the shapes.
        small = Config(**{**preset(name).to_dict(), "levels": levels})
        none = Config(**{**small.to_dict(), "gain": False})
        plain_net, gained_net = AGVAE(none), AGVAE(small)
        macs, values = network_macs(plain_net)
        words = f"{small.hyper}, {small.latent}"
        yield _cost(f"AG-VAE {name}", words, levels, plain_net, gained_net, macs, 2 * values)
        of_y = small.latent * (_SIDE // STRIDE) ** 2
        for mechanism in MECHANISMS[1:]:
            net = AGVAE(replace(small, mechanism=mechanism))
            more = _outputs(plain_net) if mechanism == "conditional" else 2 * of_y
            label = f"AG-VAE {name}, {_WORDS[mechanism]}"
            yield _cost(label, words, levels, plain_net, net, macs, more)


def _cost(
    name: str,
    channels: str,
    levels: int,
    plain: nn.Module,
    gained: nn.Module,
    macs: int,
    more: int,
) -> Cost:
    before, after = parameters(plain), parameters(gained)
    added = after - before
    return Cost(
        name,
        channels,
        levels,
        COMPUTED,
        "",
        before,
        added,
        100 * added / before,
        macs,
        more,
        100 * more / macs,
    )


def reported() -> Iterator[Cost]:
    """Yield the paper's own numbers."""
    nan = math.nan
    for entry in published.content()["cost"]:
        name = f"{entry['backbone']}: {entry['method']}"
        shares = float(entry["parameters_percent"]), float(entry["macs_percent"])
        source = str(entry["source"])
        levels = int(entry["levels"])
        yield Cost(name, "", levels, REPORTED, source, nan, nan, shares[0], nan, nan, shares[1])


def parameters(net: nn.Module) -> int:
    """Return how many trainable numbers a network has; fixed gains belong to its convolutions."""
    named = net.named_parameters()
    return sum(parameter.numel() for name, parameter in named if "log_fixed" not in name)


def _outputs(net: AGVAE) -> int:
    """Return how many values the convolutions of the four transforms put out for a picture."""
    found: list[int] = []
    moved = net.to("meta")
    transforms = (moved.g_a, moved.g_s, moved.h_a, moved.h_s)
    hooks = [
        part.register_forward_hook(lambda _module, _given, out: found.append(out.numel()))
        for transform in transforms
        for part in transform.modules()
        if isinstance(part, nn.Conv2d)
    ]
    network_macs(moved)
    for hook in hooks:
        hook.remove()
    return sum(found)


def _of_picture(run: Callable[[Tensor], int]) -> tuple[int, int]:
    """Return the multiply-accumulates of ``run`` on an empty picture, and what it returns."""
    values: list[int] = []
    x = torch.empty(1, 3, _SIDE, _SIDE, device="meta")
    macs, _ = counted(lambda: values.append(run(x)))
    return macs, values[0]


def backbone_macs(net: GainedBackbone) -> tuple[int, int]:
    """Return MACs of the four transforms, and how many values y and z have together."""
    base: Any = net.base.to("meta")

    def run(x: Tensor) -> int:
        y = base.g_a(x)
        z = base.h_a(y)
        base.h_s(z)
        base.g_s(y)
        return int(y.numel() + z.numel())

    return _of_picture(run)


def network_macs(net: AGVAE) -> tuple[int, int]:
    """Return MACs of transforms and context passes, and how many values y and z have together."""
    moved = net.to("meta")

    def run(x: Tensor) -> int:
        y = moved.g_a(x)
        z = moved.h_a(y)
        psi = moved.h_s(z)
        for k in range(PASSES):
            moved.context.parameters_of(k, psi, y)
        moved.g_s(y)
        return int(y.numel() + z.numel())

    return _of_picture(run)
