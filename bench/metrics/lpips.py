"""LPIPS by the package ``lpips``, version 0.1 heads, on an AlexNet or SqueezeNet backbone.

R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The unreasonable effectiveness of deep
features as a perceptual metric", CVPR 2018. The two nets give different values, so the net is part
of the column's name. The package carries its linear heads; the backbone is a file of torchvision's
that is searched for on this machine; ``wanted`` says where AlexNet's can be downloaded.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.errors import MetricError
from bench.image import Image
from bench.metrics import Metric, Weights, require_same_shape
from bench.metrics.plugin_files import sha256_of

if TYPE_CHECKING:
    import torch

    from bench.metrics._lpips_network import Network

ALEX_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"

# Above this many pixels the reference's features are recomputed for each decoded image rather than
# kept: SqueezeNet's take 140 bytes per pixel.
_KEEP_PIXELS = 1 << 20
_STRIP_SAMPLES = 1 << 18


_FILES = {
    "alex": {"alexnet-owt-7be5be79.pth": "7be5be79"},
    "squeeze": {
        "squeezenet1_1_features_torchvision.pth": "1ae5a25d5d327ab9",
        "squeezenet1_1-b8a52dc0.pth": "b8a52dc0",
    },
}
"""Backbone -> its files by preference, with the start of their sha256."""


def _hub() -> Path:
    """Return torch hub's folder of weights (as ``torch.hub.get_dir``, without importing torch)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("TORCH_HOME") or Path(cache) / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _folders() -> list[Path]:
    """Return the folders searched for backbones, first choice first."""
    weights = os.environ.get("BENCH_WEIGHTS")
    return [*([Path(weights).expanduser() / "lpips"] if weights else []), _hub()]


def _is_genuine(path: Path, sha256_start: str) -> bool:
    try:
        return sha256_of(path).startswith(sha256_start)
    except OSError:
        return False


def backbone_path(net: str) -> Path | None:
    """Return the backbone file of ``net`` (``alex``, ``squeeze``), or None where there is none.

    ``$BENCH_WEIGHTS/lpips`` is searched, then torch hub's cache. A file whose sha256 is not that of
    torchvision's weights is passed over.
    """
    for folder in _folders():
        for name, sha256_start in _FILES[net].items():
            if _is_genuine(folder / name, sha256_start):
                return folder / name
    return None


def _missing(*nets: str) -> MetricError:
    """Return the error that says what was looked for, where, and the remedy."""
    names = [name for net in nets for name in _FILES[net]]
    folders = _folders()
    damaged = [str(f / n) for f in folders for n in names if (f / n).is_file()]
    spoilt = f" (found, but damaged: {', '.join(damaged)})" if damaged else ""
    where = ", ".join(map(str, folders))
    return MetricError(
        f"LPIPS needs the weights of a backbone: wanted {' or '.join(names)} in {where}, "
        f"found none{spoilt}",
        "Get AlexNet by `bench fetch lpips-alex`, or set BENCH_WEIGHTS to a folder that has "
        "lpips/ with one of them.",
    )


@functools.cache
def _model(net: str, path: Path) -> Network:
    """Return the network of LPIPS with the backbone of ``path``."""
    from bench.metrics._lpips_network import Network

    return Network(net, path)


def _tensor(image: Image) -> torch.Tensor:
    """Return uint8 (H, W, 3) as float32 (1, 3, H, W) in [-1, 1], channels last in memory."""
    import torch

    scaled = np.divide(image, np.float32(127.5), dtype=np.float32)
    scaled -= 1
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]


def _strips(height: int, samples: int) -> Iterator[slice]:
    """Yield slices of rows that together are small enough for the processor's cache."""
    rows = max(1, _STRIP_SAMPLES * height // samples)
    for top in range(0, height, rows):
        yield slice(top, top + rows)


def _unit(values: torch.Tensor) -> torch.Tensor:
    """Return activations scaled to unit length along C."""
    import torch

    length: torch.Tensor = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return values / length.add_(1e-10)


def _units(model: Network, image: Image) -> Iterator[torch.Tensor]:
    """Yield each slice's activations for an image, uint8 (H, W, 3), at unit length."""
    return map(_unit, model.features(_tensor(image)))


def distance(model: Network, reference: Iterable[torch.Tensor], image: torch.Tensor) -> float:
    """Return LPIPS between a reference's ``_units`` and an image (1, 3, H, W) in [-1, 1]."""
    total = 0.0
    for head, wanted, found in zip(model.heads, reference, model.features(image), strict=True):
        height, width = found.shape[2:]
        layer = 0.0
        for rows in _strips(height, found.numel()):
            difference = _unit(found[:, :, rows]).sub_(wanted[:, :, rows])
            layer += head(difference.square_()).sum().item()
        total += layer / (height * width)
    return total


class _Lpips(Metric):
    """LPIPS on one backbone, if that is available; torch is imported on first use."""

    net: ClassVar[str]
    higher_is_better = False
    limits = (0.0, math.inf)
    in_default_run = True
    family = "lpips"

    def __init__(self) -> None:
        path = backbone_path(self.net)
        if path is None:
            raise _missing(self.net)
        self._path = path
        self.version = f"lpips {metadata.version('lpips')}, heads 0.1"

    def prepare(self, reference: Image) -> tuple[tuple[int, ...], list[torch.Tensor] | Image]:
        """Return the shape and the features, or of a very large image the image itself."""
        import torch

        self.require_defined(reference)
        height, width = reference.shape[:2]
        if height * width > _KEEP_PIXELS:
            return reference.shape, reference
        with torch.inference_mode():
            return reference.shape, list(_units(self._model(), reference))

    def score(
        self, state: tuple[tuple[int, ...], list[torch.Tensor] | Image], decoded: Image
    ) -> float:
        """Return the distance of ``decoded``: 0 for equal images."""
        import torch

        shape, kept = state
        require_same_shape(shape, decoded)
        with torch.inference_mode():
            wanted = kept if isinstance(kept, list) else _units(self._model(), kept)
            return distance(self._model(), wanted, _tensor(decoded))

    def _model(self) -> Network:
        return _model(self.net, self._path)


def _definition(net: str) -> str:
    return (
        f"LPIPS 0.1 of the package lpips, {net} backbone with torchvision's weights, RGB "
        "scaled to [-1, 1]; values of different nets are not comparable."
    )


class LpipsAlex(_Lpips):
    """LPIPS on AlexNet."""

    name = "lpips_alex"
    title = "LPIPS (alex)"
    net = "alex"
    definition = _definition(net)
    smallest_px = 31
    rank = 2

    @classmethod
    def wanted(cls) -> Weights | None:
        """Return AlexNet's file (233 MiB), in torch hub's cache, where it is missing."""
        name, sha256_start = next(iter(_FILES[cls.net].items()))
        return None if backbone_path(cls.net) else Weights(ALEX_URL, _hub() / name, sha256_start)


class LpipsSqueeze(_Lpips):
    """LPIPS on SqueezeNet, where AlexNet's weights are not available."""

    name = "lpips_squeeze"
    title = "LPIPS (squeeze)"
    net = "squeeze"
    definition = _definition(net)
    smallest_px = 17
    rank = 3
