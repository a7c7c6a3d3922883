"""The whole training as shell commands for a borrowed GPU machine: short calls, little luggage.

The machine is bare and forgets everything when it is given back; a call lasts ten minutes at most;
the checkout travels with each call and what travels is limited. So the photographs go first, in
loads, each in a call of seconds; then one command is repeated until all is trained, since it
continues where it stopped; then what came back is collected. Where the machine was given back
between two calls, the plan is printed again: it counts what is there.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.codecs.agvae.training import parcel, stages
from bench.codecs.agvae.training.parcel import MIB
from bench.codecs.agvae.training.photographs import MANIFEST
from bench.codecs.agvae.training.stages import Settings, Stage
from bench.errors import UsageError

REMOTE = "/tmp/agvae"  # noqa: S108 - of a machine that nobody else uses
"""Where things lie on the GPU machine."""

STEPS_PER_S = {"base": 47.8, "small": 73.0}
"""Base as measured with the prototype on an H100, small on an H200 without compiling."""

_STAGE_OVERHEAD_S = 60.0
_START_S = 120.0
"""Of a machine."""
_AGAIN_S = 40.0
"""Of a call: reading the photographs, compiling what was compiled before."""
_LOAD_S = 20.0
"""Around a call: luggage there, results back."""
_WRAP_UP_S = 60.0
"""Of a call, after training pauses: state, export, table, parcel."""

_MARGIN_BYTES = MIB // 2


@dataclass(frozen=True, slots=True)
class Machine:
    """What the GPU machine allows.

    Attributes
    ----------
    call_s
        Longest command.
    lease_s
        Longest time it is held.
    travel_bytes
        Checkout and luggage of a call.
    """

    call_s: float = 600.0
    lease_s: float = 1800.0
    travel_bytes: int = 64 * MIB


def luggage(settings: Settings) -> dict[str, Path]:
    """Return what the machine needs beside the checkout: name below ``REMOTE`` -> file.

    Raises
    ------
    UsageError
        If training data is missing, or two files have one name.
    """
    files = {f"work/{name}": path for name, path in stages.needed(settings).items()}
    for source in settings.data:
        if not source.exists():
            raise UsageError(f"{source}: no such file", "Give tars or folders to --data.")
        inside = (
            sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        )
        base = source if source.is_dir() else source.parent
        beside = base / MANIFEST
        for path in dict.fromkeys([*inside, *([beside] if beside.is_file() else [])]):
            name = f"data/{path.relative_to(base).as_posix()}"
            if files.setdefault(name, path) != path:
                raise UsageError(
                    f"{path} and {files[name]} have one name", "Put the data into one folder."
                )
    return files


def load_bytes(machine: Machine, tree: int) -> int:
    """Return how much luggage a call may take beside a checkout of ``tree`` bytes.

    Raises
    ------
    UsageError
        If the checkout alone is too large.
    """
    room = machine.travel_bytes - tree - _MARGIN_BYTES
    if room < MIB:
        raise UsageError(
            f"the checkout has {tree / MIB:.0f} MiB, {machine.travel_bytes / MIB:.0f} travel",
            "Move results that git does not ignore out of it.",
        )
    return room


def pack(settings: Settings, machine: Machine, folder: Path, tree: int) -> list[Path]:
    """Write the luggage in loads that fit one call each; return their folders.

    Parameters
    ----------
    settings
        Whose data and unfinished work it is.
    machine
        What it allows.
    folder
        In the checkout, ignored by git.
    tree
        Bytes of the checkout.
    """
    piece = load_bytes(machine, tree)
    loads: list[Path] = []
    for path in parcel.write(luggage(settings), folder, piece):
        loads.append(folder / f"load-{len(loads)}")
        loads[-1].mkdir(exist_ok=True)
        path.replace(loads[-1] / path.name)
    for old in folder.glob("load-*"):
        if old not in loads:
            for path in old.iterdir():
                path.unlink()
            old.rmdir()
    return loads


def estimate_s(stage: Stage) -> float:
    """Return about how long a stage takes on an H100, compiling included."""
    budget = stage.options.budget
    speed = STEPS_PER_S[stage.options.preset]
    return _STAGE_OVERHEAD_S + (budget.time_s or (budget.steps or 0) / speed)


def calls_per_lease(machine: Machine, loads: int) -> tuple[int, float]:
    """Return how many training calls fill a lease evenly, and the seconds each may train."""
    usable_s = machine.lease_s - _START_S - _LOAD_S * loads
    number = max(1, math.ceil(usable_s / (machine.call_s + _LOAD_S)))
    each_s = min(machine.call_s, usable_s / number - _LOAD_S)
    return number, math.floor((each_s - _WRAP_UP_S) / 10) * 10


def calls(left: Sequence[Stage], machine: Machine, loads: int) -> tuple[int, int]:
    """Return about how many training calls the stages take, and how many leases."""
    per_lease, train_s = calls_per_lease(machine, loads)
    total = math.ceil(sum(map(estimate_s, left)) / (train_s - _AGAIN_S))
    return total, math.ceil(total / per_lease)


def lines(
    settings: Settings, machine: Machine, words: Sequence[str], *, folder: Path, tree: int
) -> Iterator[str]:
    """Yield the plan.

    Parameters
    ----------
    settings, machine
        What to train, and where.
    words
        Options of ``bench train-all`` that repeat ``settings`` beside data and work.
    folder
        For the luggage, in the checkout, ignored by git.
    tree
        Bytes of the checkout.
    """
    planned = stages.stages(settings)
    left = [stage for stage in planned if not stage.finished]
    files = luggage(settings)
    total, piece = parcel.size_bytes(files), load_bytes(machine, tree)
    loads = math.ceil(total / piece)
    yield f"# {len(left)} of {len(planned)} networks to train"
    for name, where in stages.state_of(planned).items():
        yield f"#   {name}: {where}"
    yield (
        f"# checkout {tree / MIB:.1f} MiB, photographs and unfinished work {total / MIB:.1f} MiB, "
        f"{machine.travel_bytes / MIB:.0f} MiB a call: {loads} loads of {piece / MIB:.1f} MiB"
    )
    if not left:
        yield from _afterwards(settings, words)
        return
    yield "# On a machine with its own GPU all of it is one command:"
    yield f"#   {_command(settings.data, settings.work, words)}"
    number, machines = calls(left, machine, loads)
    yield f"# Elsewhere about {number} calls on {machines} fresh machines. For each of these:"
    train_s = calls_per_lease(machine, loads)[1]
    yield from _on_a_fresh_machine(settings, words, folder, loads, train_s)
    yield from _afterwards(settings, words)


def _on_a_fresh_machine(
    settings: Settings, words: Sequence[str], folder: Path, loads: int, train_s: float
) -> Iterator[str]:
    """Yield the commands from a bare machine to weights."""
    here = _command(settings.data, settings.work, words)
    there = _command([Path(f"{REMOTE}/data")], Path(f"{REMOTE}/work"), words)
    yield ""
    yield "## 1. here: pack what it needs, out of git's sight"
    yield f"mkdir -p {_q(folder)} && echo '*' > {_q(folder)}/.gitignore"
    yield f"{here} --pack {_q(folder)}"
    yield "## 2. there, from the root of the checkout, seconds each: the loads"
    for load in range(loads):
        clean = f"rm -rf {REMOTE} && " if load == 0 else ""
        yield f"# carry {folder}/load-{load}"
        yield f"{clean}mkdir -p {REMOTE} && cp {_q(folder)}/load-{load}/* {REMOTE}/"
    yield "## 3. there, ten minutes each: until it says that all stages are finished, or it is lost"
    yield (
        f"(cd {REMOTE} && test ! -e {parcel.PIECE}000 || "
        f"(cat {parcel.PIECE}* | tar -x && rm {parcel.PIECE}*)) && "
        f"PYTHONUNBUFFERED=1 {there} --device cuda --estimate --bring $OUT "
        f"--pause-after {train_s:g}s"
    )
    yield "## 4. here, after each call of 3: take in what came back"
    yield f"{here} --collect FOLDER"


def _afterwards(settings: Settings, words: Sequence[str]) -> Iterator[str]:
    """Yield what is done with the weights."""
    yield ""
    yield "## afterwards, here: into the package, then measured from real files"
    yield f"{_command(settings.data, settings.work, words)} --install"
    yield "python3 -m bench all --dataset kodak --out results/kodak"
    yield "python3 -m bench ablation --dataset kodak --out results/ablation"


def _command(data: Sequence[Path], work: Path, words: Sequence[str]) -> str:
    given = " ".join(f"--data {_q(path)}" for path in data)
    more = "".join(f" {shlex.quote(word)}" for word in words)
    return f"python3 -m bench train-all {given} --work {_q(work)}{more}"


def _q(path: Path) -> str:
    return shlex.quote(str(path))


def words_of(options: Mapping[str, str | None]) -> list[str]:
    """Return ``--name value`` of every option that was given."""
    return [word for name, value in options.items() if value is not None for word in (name, value)]
