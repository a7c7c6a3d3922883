"""The end of a run: averaged weights exported as the codec reads them, measured, described."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.codecs.agvae.model.mechanisms import as_stored, as_trained
from bench.codecs.agvae.training import evaluate
from bench.codecs.agvae.training.options import Options
from bench.codecs.agvae.training.photographs import UNKNOWN_LICENCE, Photos
from bench.codecs.agvae.training.run import Run, Session
from bench.codecs.agvae.weights.checkpoints import SOURCES, Z_TABLES, Manifest, load, read_manifest
from bench.codecs.agvae.weights.export import export
from bench.errors import UsageError
from bench.files import make_folder, write_atomically

HALF_LEVELS = (0.5, 3.5, 6.5)
"""Measured beside the whole ones: interpolated gains must lie on the curve."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a session came to.

    Attributes
    ----------
    finished
        Whether the budget is spent and the weights are written.
    step, elapsed_s
        Done so far, all sessions together.
    manifest
        Of the weights; there when finished.
    reached
        Rows of the final table; empty unless finished.
    """

    finished: bool
    step: int
    elapsed_s: float
    manifest: Path
    reached: tuple[Mapping[str, Any], ...] = ()


def train(
    options: Options, session: Session, photos: Photos | None = None, *, real_files: bool = True
) -> Outcome:
    """Train, or continue, until the budget or the session ends; then export and measure.

    Calling this again with the same options continues. The final table is of real files on the
    CPU, or else of estimated bits.

    Raises
    ------
    DatasetError
        If data or state cannot be used, or training diverged.
    UsageError
        If ``options.init`` cannot be used.
    """
    run = Run(options, session, photos)
    finished = run.train()
    if not finished:
        return Outcome(False, run.step, run.elapsed_s, options.manifest)
    reached = finish(run, real_files=real_files)
    return Outcome(True, run.step, run.elapsed_s, options.manifest, tuple(reached))


def finish(run: Run, *, real_files: bool) -> Sequence[Mapping[str, Any]]:
    """Export a run's averaged weights, measure what is stored, complete the manifest."""
    options = run.options
    _export(run)
    if real_files:
        rows = evaluate.real(options.manifest, run.validation, _levels(options))
    else:
        stored = load(read_manifest(options.manifest))
        stored.pop(Z_TABLES)
        device = torch.device(run.session.device)
        weights, config = as_trained(stored, options.config), options.config.as_stored
        rows = evaluate.estimated(weights, config, run.validation, _levels(options), device)
    manifest = json.loads(options.manifest.read_text(encoding="utf-8"))
    manifest["reached"] = {
        "on": f"middles of {len(run.validation.members)} photographs that were not trained on",
        "by": evaluate.REAL if real_files else evaluate.ESTIMATED,
        "rows": rows,
    }
    write_atomically(options.manifest, (json.dumps(manifest, indent=2) + "\n").encode())
    return rows


def _levels(options: Options) -> list[float]:
    half = HALF_LEVELS if options.config.gain and not options.config.conditional else ()
    return sorted([float(level) for level in options.trained_levels] + list(half))


def _export(run: Run) -> None:
    """Write weights and manifest, still without what they reach."""
    options = run.options
    taints = [*run.taints, *_licence_taints(run.training)]
    base = _base(options.init, run.origin) if options.branch and options.init else None
    other = options.predicted_from
    note = {"note": "; ".join(taints)} if taints else {}
    export(
        as_stored(run.trainer.average(), options.config),
        options.config,
        options.out.parent,
        options.name,
        bits=options.bits,
        metric=options.metric,
        level=None if options.level is None else float(options.level),
        facts={
            "status": "development" if taints else "released",
            "training": training_facts(run),
            **note,
        },
        base=base,
        predicted_from=read_manifest(other.with_suffix(".json"))
        if other is not None and other.is_file()
        else None,
    )


def _base(init: Path, origin: Mapping[str, Any]) -> Manifest:
    """Return the base of a branch; it must be the file that the run began with.

    Raises
    ------
    UsageError
        If it is another one.
    """
    base = read_manifest(init.with_suffix(".json"))
    if base.sha256 != origin.get("sha256"):
        raise UsageError(
            f"--init {init} has sha256 {base.sha256[:12]}, this run began with "
            f"{origin.get('name')} of sha256 {str(origin.get('sha256'))[:12]}",
            "Give the file that it began with, or another --out.",
        )
    if not base.stands_alone or not base.config.gain:
        raise UsageError(
            f"--init {init} is no base of a branch: wanted whole weights of a gained network that "
            "stand alone",
            "Give another file, or leave out --branch.",
        )
    return base


def _write_sources(photos: Photos, folder: Path) -> str:
    """Write the list of photographs beside the weights, once for all trained on them; its name."""
    name = f"{SOURCES}/{photos.digest[:12]}.json"
    listed = {"pixels_sha256": photos.digest, "sources_by_licence": photos.sources_by_licence()}
    make_folder(folder / SOURCES)
    write_atomically(folder / name, (json.dumps(listed, indent=1) + "\n").encode())
    return name


def _licence_taints(photos: Photos) -> list[str]:
    """Return why weights trained on these may not be released: their licence is unknown."""
    unknown = sum(photo.licence == UNKNOWN_LICENCE for photo in photos.members)
    return [f"development weights, {unknown} photographs of unknown licence"] if unknown else []


def training_facts(run: Run) -> dict[str, Any]:
    """Return what the manifest says of the run: enough to repeat it, and whose pictures it saw."""
    options = run.options
    data = run.training.facts()
    data["sources"] = _write_sources(run.training, options.out.parent)
    gpu = torch.cuda.get_device_name() if run.session.device == "cuda" else ""
    return {
        "data": data,
        "licence": ", ".join(data["licences"]),
        "steps": run.step,
        "crops": run.step * options.batch,
        "time_s": round(run.elapsed_s),
        "budget": str(options.budget),
        "lambdas": list(options.lambdas),
        **options.fixed(),
        "init": run.origin or None,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": gpu or platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
