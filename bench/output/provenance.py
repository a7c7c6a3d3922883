"""What every figure, table and CSV says of its origin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.measurement.provenance import bench_version
from bench.output.table_formats import plain_text

KEYS = ("date", "machine", "commit", "versions", "datasets", "weights")
"""What a stamp always states, in its full form."""

_UNKNOWN = "not recorded"
_HASH = re.compile("[0-9a-f]{16,}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where numbers come from.

    Attributes
    ----------
    date
        Of the measurement, YYYY-MM-DD.
    machine
        Processor, cores, GPU, system.
    commit
        Of the checkout that measured; ``+changes`` where files differed from it.
    versions
        Package -> version.
    datasets
        Name (with the number of images) -> sha256 of the pixels.
    weights
        Codec or network -> hash of its weights, where weights are the subject.
    """

    date: str
    machine: str
    commit: str
    versions: Mapping[str, str]
    datasets: Mapping[str, str]
    weights: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> dict[str, str]:
        """Return every key with its value in words, none of them empty."""
        listed = {
            "versions": self.versions,
            "datasets": self.datasets,
            "weights": self.weights or {"none": "but those that labels name"},
        }
        joined = {
            key: ", ".join(f"{name} {value}" for name, value in values.items()) or _UNKNOWN
            for key, values in listed.items()
        }
        plain = {"date": self.date, "machine": self.machine, "commit": self.commit}
        return {key: plain_text({**plain, **joined}[key]) or _UNKNOWN for key in KEYS}

    def full(self) -> str:
        """Return everything on one line, for the metadata of a file."""
        return "; ".join(f"{key}: {text}" for key, text in self.words().items())

    def small_print(self) -> str:
        """Return the line that is drawn under a figure: hashes cut short, few versions."""
        hashes = [
            f"{plain_text(name)} sha256 {value[:8]}"
            if _HASH.fullmatch(value)
            else f"{name}: {value}"
            for name, value in {**self.datasets, **self.weights}.items()
        ]
        version = self.versions.get("bench", bench_version())
        parts = [
            f"{self.date or _UNKNOWN}, {self.machine or _UNKNOWN}",
            f"commit {self.commit or _UNKNOWN}, bench\u00a0{version}",
            *hashes,
        ]
        # A name and its hash stay on one line.
        parts = parts[:2] + [part.replace(" ", "\u00a0") for part in parts[2:]]
        return "\u00a0\u00b7 ".join(parts)

    def comment(self) -> str:
        """Return lines that begin with ``# ``, for the head of a CSV file."""
        return "".join(f"# {key}: {text}\n" for key, text in self.words().items())


def machine_of(record: Mapping[str, Any]) -> str:
    """Return processor, cores, GPU and system of a run record; what is not known is left out."""
    cores = record.get("cores")
    parts = (
        record.get("cpu"),
        f"{cores} cores" if cores else "",
        record.get("gpu"),
        record.get("system"),
    )
    return ", ".join(str(part) for part in parts if part)


def provenance_note(record: Mapping[str, Any]) -> str:
    """Return machine, date, commit and versions in a sentence; what is not known is left out."""
    date, machine, commit = record.get("date"), machine_of(record), record.get("commit")
    verb = "Imported" if record.get("imported") and not record.get("merged") else "Measured"
    parts = [
        f"{verb} {date}" if date else verb,
        f"on {machine}" if machine else "",
        f"at commit {commit}" if commit else "",
    ]
    versions = record.get("versions") or {}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    line = " ".join(part for part in parts if part)
    return f"{line} ({listed})." if listed else f"{line}."


def pixels_of(record: Mapping[str, Any], dataset: str) -> str:
    """Return the sha256 of a dataset's pixels as a run record has it, or that it has none."""
    described = (record.get("datasets") or {}).get(dataset) or {}
    return str(described.get("pixels_sha256") or "pixels not recorded")


def of_record(
    record: Mapping[str, Any],
    *,
    datasets: Mapping[str, str],
    weights: Mapping[str, str] | None = None,
) -> Stamp:
    """Return the stamp of what was measured under a run record (``provenance.record``)."""
    return Stamp(
        date=str(record.get("date") or ""),
        machine=machine_of(record),
        commit=str(record.get("commit") or ""),
        versions={str(k): str(v) for k, v in (record.get("versions") or {}).items()},
        datasets=dict(datasets),
        weights=dict(weights or {}),
    )
