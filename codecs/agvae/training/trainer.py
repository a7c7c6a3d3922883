"""One training step: crops, loss, gradients, update, average; on a GPU all of it one CUDA graph.

Nothing in a step waits for the host. What the host decides (the rate) is written into a tensor
before the step; what it wants to know is summed up in a tensor and read now and then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.codecs.agvae.model.mechanisms import CONDITIONAL_TABLES
from bench.codecs.agvae.model.model import AGVAE, Estimate
from bench.codecs.agvae.runtime import precision
from bench.codecs.agvae.training import state
from bench.codecs.agvae.training.losses import Loss, level_weights, rate_distortion
from bench.codecs.agvae.training.optimiser import MuonAdam
from bench.codecs.agvae.training.options import Options
from bench.codecs.agvae.training.photographs import Photos
from bench.codecs.agvae.training.random_crops import Crops
from bench.errors import DatasetError

_WARM_UP_RUNS = 3
"""Steps outside the graph before it is captured: libraries choose and allocate in them."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """Means since the last report.

    Attributes
    ----------
    steps
        How many it covers.
    loss, gradient_norm
        Of a batch.
    bpp, psnr_db, distortion
        Level -> mean over its crops; ``psnr_db`` is the mean of the crops' PSNR, unclipped.
    """

    steps: int
    loss: float
    gradient_norm: float
    bpp: Mapping[int, float]
    psnr_db: Mapping[int, float]
    distortion: Mapping[int, float]


class Trainer:
    """Network, data, optimiser and average of a run, on one device.

    ``fuse`` compiles the loss and captures the step; only a GPU gains from it.
    """

    def __init__(
        self, options: Options, photos: Photos, device: torch.device, *, fuse: bool = True
    ) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device = options, device
        self.net = AGVAE(options.config, options.lambdas).to(device)
        self.net.to(memory_format=torch.channels_last)
        self._crops = Crops(
            photos, batch=options.batch, size=options.crop, seed=options.seed, device=device
        )
        self._named = list(self.net.named_parameters())
        self._weights: list[Tensor] = [p for _, p in self._named]
        new = CONDITIONAL_TABLES if options.config.conditional else ()
        self._optimiser = MuonAdam(self._named, new=new)
        self._average = [p.detach().clone() for p in self._weights]
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        self._rounding = torch.zeros((), device=device)
        self._largest_steps = _largest_steps(self._named, options.bits)
        self._set_levels()
        self._fuse = fuse and device.type == "cuda"
        self._bfloat16 = precision.has_bfloat16(device.type)
        self._loss: Callable[[Tensor], Loss] = self._loss_of
        self._run: Callable[[], None] | None = None

    def _set_levels(self) -> None:
        """Deal the levels to the batch: alike, and the same in every step."""
        levels = self.options.trained_levels
        dealt = torch.arange(self.options.batch) % len(levels)
        self._levels = torch.tensor(levels)[dealt].to(self.device)
        lambdas = torch.tensor(self.options.lambdas)[list(levels)]
        self._lambdas = lambdas[dealt].to(self.device)
        self._level_weights = level_weights(lambdas, self.options.level_power)[dealt].to(
            self.device
        )
        member = torch.nn.functional.one_hot(dealt, len(levels)).T.float()
        self._mean_of_level = (member / member.sum(1, keepdim=True)).to(self.device)
        self._sums = torch.zeros(len(levels), 3, device=self.device)
        self._totals = torch.zeros(3, device=self.device)

    @property
    def step_count(self) -> int:
        """Steps done; waits for the device."""
        return int(self._step.item())

    def set_rate(self, share: float, *, rounding: bool = False) -> None:
        """Set the learning rate of the steps to come, as a share of the full one.

        With ``rounding`` they see weights as the file will hold them, and move those they hide.
        """
        self._optimiser.scale.fill_(share * self.options.rate)
        self._rounding.fill_(float(rounding))

    def prepare(self) -> None:
        """Compile and capture, where that is wanted; the first step does it otherwise."""
        if self._run is None:
            self._run = self._fused() if self._fuse else self._step_once

    def step(self) -> None:
        """Do one step; on a GPU it returns before the step is done."""
        self.prepare()
        assert self._run is not None
        self._run()

    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def report(self) -> Report:
        """Return means since the last report, and begin anew.

        Raises
        ------
        DatasetError
            If the loss is not finite: the run has diverged.
        """
        loss, norm, count = self._totals.tolist()
        steps = round(count)
        if not torch.isfinite(self._totals).all():
            raise DatasetError(
                f"the loss is no longer a number at step {self.step_count}: training diverged",
                "The last state is kept; continue it with a lower --rate, or start anew.",
            )
        means = (self._sums / max(1, steps)).tolist()
        self._totals.zero_()
        self._sums.zero_()
        columns = [
            {level: row[i] for level, row in zip(self.options.trained_levels, means, strict=True)}
            for i in range(3)
        ]
        return Report(steps, loss / max(1, steps), norm / max(1, steps), *columns)

    def average(self) -> dict[str, Tensor]:
        """Return the averaged weights, a state dict of ``model.AGVAE`` on the CPU."""
        names = [name for name, _ in self._named]
        return {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in zip(names, self._average, strict=True)
        }

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Start from a state dict: network and average."""
        self.net.load_state_dict(weights)
        with torch.no_grad():
            torch._foreach_copy_(self._average, self._weights)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name: views of the live tensors, but for the generator's."""
        named = {f"{state.NET}{name}": p.detach() for name, p in self._named}
        for (name, _), mean in zip(self._named, self._average, strict=True):
            named[f"{state.AVERAGE}{name}"] = mean
        named |= {f"optimiser.{name}": t for name, t in self._optimiser.tensors().items()}
        named |= {"step": self._step, "sums": self._sums, "totals": self._totals}
        on_gpu = self.device.type == "cuda"
        named["generator"] = torch.cuda.get_rng_state() if on_gpu else torch.get_rng_state()
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from what ``tensors`` returned, perhaps on another device.

        Raises
        ------
        DatasetError
            If the state is of another network.
        """
        own = self.tensors()
        generator = tensors.get("generator")
        if set(own) != set(tensors):
            odd = ", ".join(sorted(set(own) ^ set(tensors))[:3])
            raise DatasetError(f"the training state is of another network: it differs in {odd}")
        with torch.no_grad():
            for name, tensor in own.items():
                if name != "generator":
                    tensor.copy_(tensors[name])
        assert generator is not None
        if generator.shape == own["generator"].shape:  # a state of the other kind has another size
            set_state = torch.cuda.set_rng_state if own["step"].is_cuda else torch.set_rng_state
            set_state(generator)

    def _loss_of(self, x: Tensor) -> Loss:
        """Return the loss of a batch; the networks run in bfloat16 where that is quick."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            estimate: Estimate = functional_call(self.net, self._shown(), (x, self._levels.float()))
        return rate_distortion(
            estimate,
            x,
            self._lambdas,
            self._level_weights,
            ms_ssim_loss=self.options.metric == "ms-ssim",
        )

    def _shown(self) -> dict[str, Tensor]:
        """Return the weights of convolutions, rounded or not; gradients pass either way."""
        shown = {}
        for name, p in self._named:
            if name in self._largest_steps:
                plain = p.detach()
                peak = plain.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
                scale = peak / self._largest_steps[name]
                shown[name] = p + self._rounding * (torch.round(plain / scale) * scale - plain)
        return shown

    def _step_once(self) -> None:
        """Do everything of a step, one operation after the other."""
        for p in self._weights:
            p.grad = None
        x = self._crops(self._step)
        loss = self._loss(x)
        loss.total.backward()  # type: ignore[no-untyped-call]
        norm = self._optimiser.step()
        with torch.no_grad():
            self._step.add_(1)
            self._add_to_average()
            self._add_to_sums(loss, norm)

    def _add_to_average(self) -> None:
        """Move the average; young ones follow faster, so that they forget the beginning."""
        past = ((1 + self._step) / (10 + self._step)).clamp(max=self.options.average)
        moves = torch._foreach_sub(self._weights, self._average)  # noqa: SLF001 - no public name
        torch._foreach_mul_(moves, (1 - past).float())
        torch._foreach_add_(self._average, moves)

    def _add_to_sums(self, loss: Loss, norm: Tensor) -> None:
        psnr_db = -10 * torch.log10(loss.mse.clamp_min(1e-12))
        values = torch.stack((loss.bpp, psnr_db, loss.distortion), 1)
        self._sums.add_(self._mean_of_level @ values)
        one = torch.ones_like(norm)
        self._totals.add_(torch.stack((loss.total.detach(), norm, one)))

    def _fused(self) -> Callable[[], None]:
        """Compile the loss, warm up, capture one whole step; return its replay.

        Warm-up steps are real steps, so the state is taken back afterwards. What fails here costs
        speed, not the run.
        """
        torch.backends.cudnn.benchmark = True
        # Matrices are bfloat16 by autocast; MS-SSIM's small differences need whole float32.
        torch.backends.cudnn.allow_tf32 = False
        before = {name: tensor.clone() for name, tensor in self.tensors().items()}
        torch.compiler.reset()  # else the networks of earlier stages count as recompilations
        self._loss = torch.compile(self._loss_of, dynamic=False)
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001 - a compiler may fail in any way
            _LOG.warning("training without torch.compile: %s", " ".join(str(error).split())[:300])
            self._loss = self._loss_of
            self._warm_up()
        self.restore(before)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step_once()
        except RuntimeError as error:
            _LOG.warning("training without CUDA graph: %s", " ".join(str(error).split())[:300])
            torch.cuda.synchronize()
            self.restore(before)
            return self._step_once
        self.restore(before)
        return graph.replay

    def _warm_up(self) -> None:
        """Do a few steps on a side stream, as capturing wants it."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                self._step_once()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()


def _largest_steps(
    named: Sequence[tuple[str, nn.Parameter]], bits: Mapping[str, int]
) -> dict[str, int]:
    """Return the largest integer that the file holds for each weight of a convolution."""
    largest = {}
    for name, p in named:
        prefixes = [prefix for prefix in bits if name.startswith(prefix)]
        if p.ndim == 4 and prefixes:
            largest[name] = (1 << (bits[max(prefixes, key=len)] - 1)) - 1
    return largest
