"""g_a, h_a and g_s on batches of images of one size, on a device."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.codecs.agvae.gpu.cuda_graphs import Recorder
from bench.codecs.agvae.gpu.fused_transforms import Analysis, Synthesis
from bench.codecs.agvae.model.config import STRIDE, Config, latent_size
from bench.codecs.agvae.runtime.tiled_transforms import Transforms
from bench.image import Image

TILE = 256
"""Side of a tile's core in latent positions (4,096 pixels); larger images are cut into such."""
MAX_PLANS = 4
"""Shapes whose tensors and graphs are kept, for each direction."""
TRIED = 5
"""Algorithms that cuDNN times for a convolution of a new shape; each costs a compilation."""


@dataclass(eq=False)
class _Plan:
    """Fixed tensors of one shape and direction, and the graph between them."""

    source: Tensor
    result: Tensor
    recorder: Recorder


class DeviceTransforms(Transforms):
    """The float networks of one set of weights, ready to run on batches.

    ``graphs`` says whether to replay CUDA graphs for shapes that come again.
    """

    def __init__(
        self,
        config: Config,
        *,
        g_a: nn.Module | None = None,
        h_a: nn.Module | None = None,
        g_s: nn.Module | None = None,
        device: str | torch.device,
        precision: torch.dtype,
        graphs: bool = True,
    ) -> None:
        target = torch.device(device)
        # Before the modules are converted, which happens in place.
        self._fused_g_a = None if g_a is None else Analysis(_stack(g_a), target, precision)
        self._fused_g_s = None if g_s is None else Synthesis(_stack(g_s), target, precision)
        super().__init__(
            config, g_a=g_a, h_a=h_a, g_s=g_s, device=device, precision=precision, tile=TILE
        )
        self._graphs = graphs and self.device.type == "cuda"
        self._plans: OrderedDict[tuple[str, int, int, int], _Plan] = OrderedDict()
        self._lock = threading.RLock()

    @torch.no_grad()
    def analyse_batch(self, images: Sequence[Image]) -> Tensor:
        """Return y before any gain, (B, H, W, M) float32, from uint8 RGB of one size."""
        height, width = latent_size(*images[0].shape[:2])
        if max(height, width) > TILE:
            return torch.stack([self.analyse(image) for image in images])
        rows, columns, _ = images[0].shape
        with self._lock, _tuned():
            plan = self._plan("analysis", len(images), rows, columns)
            for target, image in zip(plan.source, images, strict=True):
                pixels = torch.from_numpy(_writable(image))
                target.copy_(self._pinned(pixels), non_blocking=True)
            padded = (height * STRIDE, width * STRIDE)
            g_a = self._fused_g_a
            assert g_a is not None
            plan.recorder("analysis", lambda: plan.result.copy_(g_a(plan.source, padded)))
            return plan.result.clone()

    @torch.no_grad()
    def hyper_analyse_batch(self, y: Tensor) -> Tensor:
        """Return z before its gain, (B, h, w, hyper) float32, from the gained y (B, H, W, M)."""
        with _tuned():
            return super().hyper_analyse_batch(y)

    @torch.no_grad()
    def synthesise_batch(self, y: Tensor, size: tuple[int, int]) -> Callable[[], list[Image]]:
        """Enqueue g_s and the copy to the host.

        Parameters
        ----------
        y
            (B, H, W, M) after its inverse gain.
        size
            Rows and columns of the images.

        Returns
        -------
        Callable
            Waits for the device and returns uint8 RGB images; may be called at most once.
        """
        if max(y.shape[1:3]) > TILE:
            return lambda: [self.synthesise(latent, size) for latent in y]
        with self._lock, _tuned():
            plan = self._plan("synthesis", len(y), *size)
            plan.source.copy_(y)
            g_s = self._fused_g_s
            assert g_s is not None
            plan.recorder("synthesis", lambda: g_s(plan.source, plan.result))
            pixels = torch.empty(
                plan.result.shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda"
            )
            pixels.copy_(plan.result, non_blocking=True)
            done = self._mark()

        def images() -> list[Image]:
            done()
            return list(pixels.numpy())

        return images

    def _mark(self) -> Callable[[], object]:
        """Return a function that waits for what is enqueued by now."""
        if self.device.type != "cuda":
            return lambda: None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return event.synchronize

    def _pinned(self, pixels: Tensor) -> Tensor:
        """Return a copy that the device can fetch by itself."""
        if self.device.type != "cuda":
            return pixels
        pinned: Tensor = pixels.pin_memory()
        return pinned

    def _plan(self, kind: str, batch: int, rows: int, columns: int) -> _Plan:
        """Return the tensors of a shape; let those go that were not used for longest."""
        key = (kind, batch, rows, columns)
        plan = self._plans.pop(key, None) or self._new_plan(*key)
        self._plans[key] = plan
        while len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _new_plan(self, kind: str, batch: int, rows: int, columns: int) -> _Plan:
        pixels = torch.empty(batch, rows, columns, 3, dtype=torch.uint8, device=self.device)
        shape = (batch, *latent_size(rows, columns), self._latent)
        if kind == "analysis":
            latent = torch.empty(shape, device=self.device)
            return _Plan(pixels, latent, Recorder(enabled=self._graphs))
        latent = torch.empty(shape, dtype=self.precision, device=self.device)
        return _Plan(latent, pixels, Recorder(enabled=self._graphs))


def _stack(net: nn.Module) -> nn.Sequential:
    assert isinstance(net, nn.Sequential)
    return net


def _writable(image: Image) -> Image:
    """Return the image or a writable copy: torch warns of memory that must not be written."""
    return image if image.flags.writeable else np.array(image)


@contextlib.contextmanager
def _tuned() -> Iterator[None]:
    """Let cuDNN try a few of its algorithms on a shape's first run."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.benchmark_limit
    cudnn.benchmark, cudnn.benchmark_limit = True, TRIED
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.benchmark_limit = before
