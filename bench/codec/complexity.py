"""What a network costs: parameters, and multiply-accumulates for each pixel.

The modules run on torch's device ``meta``, which computes shapes and no numbers, under
``torch.utils.flop_counter``. Counted are convolutions and matrix products (GDN's among them), half
of the floating-point operations that it reports. Not counted are the entropy coder, the densities
behind its tables, and whatever works element by element: activations, gains, quantisation.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HEIGHT, WIDTH = 512, 768
"""Of the picture that is counted, in pixels: multiples of the stride of every network here."""

_OF_ENCODER = ("g_a", "h_a")
_OF_DECODER = ("g_s",)


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a network costs at ``WIDTH`` x ``HEIGHT`` pixels.

    Attributes
    ----------
    parameters
        All numbers that were trained.
    encoder_parameters, decoder_parameters
        Those that each side needs; None where the network's parts have no known names.
    encoder_kmac, decoder_kmac
        Thousand multiply-accumulates that each side computes for a pixel; None likewise.
    both_kmac
        Those of one pass through analysis, entropy model and synthesis, each part once: what
        papers print. It is less than both sides together, which share the entropy model. None
        where neither ``forward`` nor names of parts tell.
    """

    parameters: int
    encoder_parameters: int | None
    decoder_parameters: int | None
    encoder_kmac: float | None
    decoder_kmac: float | None
    both_kmac: float | None


def counted(run: Callable[[], object]) -> tuple[int, dict[str, int]]:
    """Return the multiply-accumulates of ``run``, and those within each module by its name."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        run()
    names = {
        name.partition(".")[2]: sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
    }
    return counter.get_total_flops() // 2, names


def empty_picture() -> Any:  # noqa: ANN401 - a tensor
    """Return a picture without numbers, (1, 3, HEIGHT, WIDTH)."""
    import torch

    return torch.empty(1, 3, HEIGHT, WIDTH, device="meta")


def _per_pixel(macs: int | None) -> float | None:
    """Return thousands for each pixel of the picture."""
    return None if macs is None else macs / (HEIGHT * WIDTH) / 1e3


def of_sides(
    net: Any,  # noqa: ANN401 - an untyped torch module
    encoder: int | None,
    decoder: int | None,
    both: int | None,
) -> Complexity:
    """Return the complexity of a network whose sides were counted, with its parameters."""
    total, names = _parameters(net)
    own = _of(names, _OF_ENCODER), _of(names, _OF_DECODER)
    known = all(own)
    return Complexity(
        total,
        total - own[1] if known else None,
        total - own[0] if known else None,
        _per_pixel(encoder),
        _per_pixel(decoder),
        _per_pixel(both),
    )


def _parameters(net: Any) -> tuple[int, dict[str, int]]:  # noqa: ANN401 - an untyped torch module
    """Return how many numbers a network has, and how many of them lie in each module."""
    names = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in net.named_modules()
    }
    return names[""], names


def _of(names: dict[str, int], wanted: tuple[str, ...]) -> int:
    """Return the sum over the outermost modules whose last name is one of ``wanted``."""
    return sum(
        value
        for name, value in names.items()
        if name.split(".")[-1] in wanted and not set(name.split(".")[:-1]) & set(wanted)
    )


def of_network(
    net: Any,  # noqa: ANN401 - an untyped torch module
    compress: Callable[[Any, Any], Any],
    decompress: Callable[[Any, Any, Any], Any],
) -> Complexity:
    """Return the complexity of a network of CompressAI's kind.

    ``compress`` and ``decompress`` are run with an entropy coder that does nothing. An
    autoregressive network, whose loop needs numbers, is counted by its ``forward``: the encoder
    computes all of it but g_s, the decoder all but g_a and h_a.

    Parameters
    ----------
    net
        It is left as it is.
    compress, decompress
        As of ``TorchCodec``.
    """
    empty = copy.deepcopy(net).requires_grad_(requires_grad=False).to("meta")
    x, coded = empty_picture(), dict[str, Any]()
    encoder: int | None = None
    decoder: int | None = None
    with _no_entropy_coder():
        both, names = _tried(lambda: empty(x))
        analysis, synthesis = _of(names, _OF_ENCODER), _of(names, _OF_DECODER)
        known = bool(both and analysis and synthesis)
        encoder, _ = _tried(lambda: coded.update(compress(empty, x)))
        if encoder:
            decoder, _ = _tried(lambda: decompress(empty, coded["strings"], coded["shape"]))
    if encoder and decoder:
        both = encoder + synthesis if known else both
    elif both and known:
        encoder, decoder = both - synthesis, both - analysis
    else:
        encoder = decoder = None
    return of_sides(net, encoder, decoder, both)


def _tried(run: Callable[[], object]) -> tuple[int | None, dict[str, int]]:
    """Return what ``counted`` does; nothing where it fails, for want of numbers for instance."""
    try:
        return counted(run)
    except Exception:  # noqa: BLE001 - a network of anybody's, without numbers
        return None, {}


@contextlib.contextmanager
def _no_entropy_coder() -> Iterator[None]:
    """Let CompressAI's entropy models pass shapes on, and compute and code nothing."""
    import torch

    entropy_models = sys.modules.get("compressai.entropy_models")
    if entropy_models is None:  # then the network has none of them
        yield
        return

    def compress(_self: object, inputs: Any, *_: object, **_options: object) -> list[bytes]:  # noqa: ANN401
        return [b""] * int(inputs.size(0))

    def decompress(_self: object, _strings: object, indexes: Any, *_: object, **__: object) -> Any:  # noqa: ANN401
        return torch.empty(indexes.shape, device=indexes.device)

    def forward(_self: object, inputs: Any, *_: object, **__: object) -> tuple[Any, Any]:  # noqa: ANN401
        return inputs, inputs

    classes = [cls for cls in vars(entropy_models).values() if isinstance(cls, type)]
    bases = {base for cls in classes for base in cls.__mro__ if "EntropyModel" in base.__name__}
    patches: list[tuple[type, str, object]] = [(base, "compress", compress) for base in bases]
    patches += [(base, "decompress", decompress) for base in bases]
    patches += [(cls, "forward", forward) for cls in classes if "forward" in vars(cls)]
    before = [(cls, name, vars(cls)[name]) for cls, name, _ in patches if name in vars(cls)]
    try:
        for cls, name, function in patches:
            setattr(cls, name, function)
        yield
    finally:
        for cls, name, _ in patches:
            if name in vars(cls):
                delattr(cls, name)
        for cls, name, function in before:
            setattr(cls, name, function)
