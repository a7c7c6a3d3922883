"""What AG-VAE costs: its parts on shapes alone; see ``bench.codec.complexity``."""

from __future__ import annotations

from typing import Any

import torch

from bench.codec.complexity import Complexity, counted, empty_picture, of_sides
from bench.codecs.agvae.model.config import PASSES, Config
from bench.codecs.agvae.model.mechanisms import set_level
from bench.codecs.agvae.model.model import AGVAE


def of_config(config: Config) -> Complexity:
    """Return the complexity of a configuration; the context model runs once for each pass."""
    net = AGVAE(config).to("meta")
    set_level(net, torch.zeros(1, device="meta"))
    parts: dict[str, Any] = {}

    def encode() -> None:
        parts["y"] = net.g_a(empty_picture())
        parts["z"] = net.h_a(parts["y"])

    def model_entropy() -> None:
        psi = net.h_s(parts["z"])
        for k in range(PASSES):
            net.context.parameters_of(k, psi, parts["y"])

    analysis, _ = counted(encode)
    entropy, _ = counted(model_entropy)
    synthesis, _ = counted(lambda: net.g_s(parts["y"]))
    return of_sides(net, analysis + entropy, entropy + synthesis, analysis + entropy + synthesis)
