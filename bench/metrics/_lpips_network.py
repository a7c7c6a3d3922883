"""The two backbones of LPIPS with its heads, layer by layer as in the packages they come from.

Importing the package lpips brings torchvision, and with it PyTorch's compiler: 1.5 CPU seconds and
170 MB for each process. Of the package its file of heads is read alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.errors import MetricError

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # lpips.ScalingLayer
_CUTS = {"alex": (0, 2, 5, 8, 10, 12), "squeeze": (0, 2, 5, 8, 10, 11, 12, 13)}
"""Where slices of the backbone begin, lpips.pretrained_networks; their outputs are compared."""


class Fire(nn.Module):
    """torchvision's ``Fire``: few channels, then as many of 1x1 as of 3x3."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return activations (N, 2 * expanded, h, w)."""
        x = self.squeeze(x).relu_()
        return torch.cat([self.expand1x1(x).relu_(), self.expand3x3(x).relu_()], 1)


def _alex() -> list[nn.Module]:
    """Return the layers of ``torchvision.models.alexnet().features`` that are used."""
    return [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True)),
    ]


def _squeeze() -> list[nn.Module]:
    """Return the layers of ``torchvision.models.squeezenet1_1().features``."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return [
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True)),
        *(pool(), Fire(64, 16, 64), Fire(128, 16, 64)),
        *(pool(), Fire(128, 32, 128), Fire(256, 32, 128)),
        *(pool(), Fire(256, 48, 192), Fire(384, 48, 192)),
        *(Fire(384, 64, 256), Fire(512, 64, 256)),
    ]


class Network:
    """A backbone and the heads of LPIPS 0.1, channels last in memory.

    Parameters
    ----------
    net
        ``alex`` or ``squeeze``.
    path
        The weights of torchvision's network.

    Attributes
    ----------
    heads
        For each slice of the backbone: the weighted sum over C of squared differences.
    """

    def __init__(self, net: str, path: Path) -> None:
        with torch.device("meta"):  # the files have all weights
            layers = nn.Sequential(*{"alex": _alex, "squeeze": _squeeze}[net]())
        stored = torch.load(path, map_location="cpu", weights_only=True)
        names = layers.state_dict()
        layers.load_state_dict({name: stored[f"features.{name}"] for name in names}, assign=True)
        cuts = _CUTS[net]
        self._slices = [_ready(layers[start:end]) for start, end in pairwise(cuts)]
        stored = torch.load(_heads_file(net), map_location="cpu", weights_only=True)
        self.heads = [
            _head(stored[f"lin{index}.model.1.weight"]) for index in range(len(self._slices))
        ]
        self._shift = torch.tensor(_SHIFT)[None, :, None, None]
        self._scale = torch.tensor(_SCALE)[None, :, None, None]

    def features(self, image: Tensor) -> Iterator[Tensor]:
        """Yield each slice's activations (1, C, h, w) for an image (1, 3, H, W) in [-1, 1]."""
        values = (image - self._shift) / self._scale
        for part in self._slices:
            values = part(values)
            yield values


def _ready(part: nn.Module) -> nn.Module:
    return part.requires_grad_(requires_grad=False).eval().to(memory_format=torch.channels_last)


def _head(weight: Tensor) -> nn.Module:
    with torch.device("meta"):
        head = nn.Conv2d(weight.shape[1], 1, 1, bias=False)
    head.load_state_dict({"weight": weight}, assign=True)
    return _ready(head)


def _heads_file(net: str) -> Path:
    """Return the heads that the package lpips brings, which is not imported.

    Raises
    ------
    MetricError
        If it is not there.
    """
    spec = find_spec("lpips")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, "weights", "v0.1", f"{net}.pth")).is_file():
            return path
    raise MetricError(
        f"LPIPS needs weights/v0.1/{net}.pth of the package lpips, found none",
        "Install it again: python -m pip install --force-reinstall lpips.",
    )
