"""What ``bench throughput`` was asked: words into checked values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.codec import FASTEST, Codec
from bench.errors import UsageError
from bench.measurement import plan, provenance
from bench.throughput.sampling import Policy

_MOST_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``, for codecs that can choose.
    batches
        Images a call, rising; a codec that codes one image at a time has 1 alone.
    threads
        Numbers of cores, rising.
    precision
        Of the networks; empty: the codec's default for the device; ``fastest``: the one that the
        device computes quickest.
    repeats
        Passes that count; None: the policy decides.
    """

    device: str = "cpu"
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    precision: str = ""
    repeats: int | None = None

    @property
    def policy(self) -> Policy:
        """When passes are enough."""
        return Policy(repeats=self.repeats)

    def plain(self) -> dict[str, Any]:
        """Return the options and the policy as plain data, for the run record."""
        return {**asdict(self), "policy": asdict(self.policy)}


def _sizes(text: str, option: str, most: int, words: dict[str, int]) -> tuple[int, ...]:
    """Read ``1,4,all`` as rising numbers without repeats."""
    found = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        value = words.get(word) or (int(word) if word.isdecimal() else 0)
        if not 1 <= value <= most:
            named = "".join(f", or {name}" for name in words)
            raise UsageError(
                f"{option} wants whole numbers from 1 to {most}{named}, found {word!r}",
                f"Write them like {option} 1,{next(iter(words), 4)}.",
            )
        found.add(value)
    if not found:
        raise UsageError(f"{option} names no number", f"Write it like {option} 1.")
    return tuple(sorted(found))


def batches(text: str) -> tuple[int, ...]:
    """Read ``--batch``.

    Raises
    ------
    UsageError
        If a word is no size of a batch.
    """
    return _sizes(text, "--batch", _MOST_BATCH, {})


def threads(text: str) -> tuple[int, ...]:
    """Read ``--threads``: numbers of cores; ``all`` is what this process may use.

    Raises
    ------
    UsageError
        If a word is no number of cores that there are.
    """
    cores = provenance.cpu_count()
    return _sizes(text, "--threads", cores, {"all": cores})


def curves(
    options: Options, words: Sequence[str], points: int | None, quality: list[float] | None
) -> tuple[list[plan.Curve], list[tuple[str, str]]]:
    """Return the codecs to measure with their settings, and what cannot run here, with reasons.

    Raises
    ------
    CodecError
        If a named codec is unavailable, or a setting illegal.
    UsageError
        If a codec is unknown or cannot have the precision.
    """
    request = plan.Request((), words, (), points, quality, options.device)
    chosen, unavailable = plan.choose_curves(request)
    check_precision(options.precision, [curve.codec for curve in chosen])
    return chosen, unavailable


def check_precision(precision: str, codecs: Sequence[Codec]) -> None:
    """Refuse a precision that a learned codec does not have.

    Raises
    ------
    UsageError
        If that is so, or if no codec is learned.
    """
    if precision in ("", FASTEST):
        return
    learned = [codec for codec in codecs if codec.learned]
    cannot = [codec for codec in learned or codecs if precision not in codec.precisions]
    if cannot:
        names = ", ".join(codec.name for codec in cannot)
        known = dict.fromkeys(name for codec in codecs for name in codec.precisions)
        raise UsageError(
            f"--precision {precision}: {names} cannot compute in it",
            f"Choose {' or '.join([*known, FASTEST])}, leave it out, or choose other codecs.",
        )
