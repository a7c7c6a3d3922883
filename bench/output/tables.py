"""Tables of a run: CSV for machines, Markdown and LaTeX for readers.

Per dataset four tables: rate and quality per setting, Bjontegaard rates, no-codec ceilings, and
what failed or is unavailable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS
from bench.files import file_stems, make_folder, write_atomically
from bench.metrics.columns import column as column_of
from bench.metrics.columns import quality_columns
from bench.output.csv_files import tidy_rows, write_frame
from bench.output.table_formats import DOWN, UP, Cell, Table, number

_MEAN = "Every value is the mean of per-image values."
_BD_NOTES = (
    "BD-rate: mean difference in bitrate at equal quality; negative is better.",
    "Headline: piecewise cubic Hermite interpolation (pchip); akima and cubic beside it.",
    "BD-quality: mean difference at equal bitrate, in the metric's own unit (BD-PSNR for PSNR).",
    "Both compare the curves of mean values. Interval: bootstrap over images.",
    "Overlap: intersection over union of the two curves' quality ranges.",
)
_CEILING_NOTE = (
    "Ceiling: PSNR after the codec's own colour conversion and chroma subsampling and back, nothing"
    " coded; no setting of the codec can exceed it by much."
)


def title(column: str) -> str:
    """Return name and unit of a column for heads and axes.

    >>> title("psnr_db"), title("lpips_alex")
    ('PSNR-RGB (dB)', 'LPIPS (alex)')
    """
    return column if column == "bpp" else column_of(column).title


def digits(column: str) -> int:
    """Return how many decimals a column is shown with."""
    return 3 if column == "bpp" else column_of(column).digits


def arrow(column: str) -> str:
    """Return the arrow of the better direction."""
    return UP if column != "bpp" and column_of(column).higher_is_better else DOWN


def provenance_note(provenance: Mapping[str, Any]) -> str:
    """Return machine, date, commit and versions on one line; what is not known is left out."""
    cores = provenance.get("cores")
    machine = ", ".join(
        str(part)
        for part in (
            provenance.get("machine"),
            provenance.get("cpu"),
            f"{cores} cores" if cores else "",
            provenance.get("gpu"),
            provenance.get("system"),
        )
        if part
    )
    parts = [
        f"Measured {provenance['date']}" if provenance.get("date") else "Measured",
        f"on {machine}" if machine else "",
        f"at commit {provenance['commit']}" if provenance.get("commit") else "",
    ]
    versions = provenance.get("versions") or {}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    line = " ".join(part for part in parts if part)
    return f"{line} ({listed})." if listed else f"{line}."


def setting_text(values: Mapping[str, object]) -> str:
    """Return ``quality 75, optimize true``."""
    words = {True: "true", False: "false"}
    return ", ".join(
        f"{name} {words[value] if isinstance(value, bool) else value}"
        for name, value in values.items()
    )


def count_text(count: int, noun: str) -> str:
    """Return ``1 image`` or ``24 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True, slots=True)
class Dataset:
    """What the tables of one dataset are made from; frames hold this dataset's lines only."""

    name: str
    title: str
    stem: str
    rows: pd.DataFrame
    summary: pd.DataFrame
    bd: pd.DataFrame
    definitions: Mapping[str, str]
    provenance: str

    @property
    def images(self) -> str:
        """How many images the means are over, of how many."""
        total = self.rows["image"].nunique()
        common = int(self.summary["images"].max()) if len(self.summary) else 0
        if common == total:
            return count_text(common, "image")
        return f"the {common} of {count_text(total, 'image')} that every codec has"

    def defined(self, metrics: Iterable[str]) -> list[str]:
        """Return the definition of each metric that has one."""
        notes = {}
        for metric in metrics:
            form = None if metric == "bpp" else column_of(metric)
            source = form.source if form else metric
            if source in self.definitions:
                notes[source] = f"{title(source)}: {self.definitions[source]}"
            if form and form.decibels:
                notes[metric] = f"{form.title}: {form.definition}"
        return list(notes.values())


def rd_table(data: Dataset) -> Table:
    """Return the means of every point of every curve."""
    metrics = quality_columns(data.summary)
    columns = ["bpp", *metrics]
    rows, held_along = [], []
    for codec, curve in data.summary.groupby("codec", sort=True):
        varying, held = summary.split_settings(curve["setting"])
        if held:
            held_along.append(f"{codec}: {setting_text(held)}")
        for values, record in zip(varying, curve.to_dict("records"), strict=True):
            cells = [Cell(number(record[name], digits(name))) for name in columns]
            rows.append([Cell(str(record["label"])), Cell(setting_text(values)), *cells])
    counts = summary.metric_images(data.rows)
    total = int(data.summary["images"].max()) if len(data.summary) else 0
    fewer = [
        f"{title(metric)} is over {counts[data.name, metric]} of them: it is not defined or not "
        "computed for the others."
        for metric in metrics
        if counts.get((data.name, metric), total) < total
    ]
    aside = [
        f"Set aside: {point['codec']} at {setting_text(summary.parse_setting(point['setting']))},"
        f" tried on {point['images']} of {count_text(point['most'], 'image')}."
        for point in summary.set_aside(data.rows).to_dict("records")
    ]
    return Table(
        name=f"{data.stem}-rd",
        caption=f"{data.title}: rate and quality, means over {data.images}",
        head=["Codec", "Setting", *(f"{title(name)} {arrow(name)}" for name in columns)],
        align="ll" + "r" * len(columns),
        rows=rows,
        notes=[
            _MEAN,
            *fewer,
            *data.defined(columns),
            *([f"At every point of {'; '.join(held_along)}."] if held_along else []),
            *aside,
            data.provenance,
        ],
        group=True,
    )


def bd_table(data: Dataset) -> Table:
    """Return Bjontegaard rates by metric, best first, the anchor among them."""
    labels = dict(zip(data.summary["codec"], data.summary["label"], strict=True))
    anchor = str(data.bd["anchor"].iloc[0]) if len(data.bd) else ""
    against = f" against {labels.get(anchor, anchor)}" if anchor else ""
    rows = []
    for metric, block in data.bd.groupby("metric", sort=False):
        by_method = {method: block[block["method"] == method] for method in METHODS}
        lines = [_bd_line(codec, by_method) for codec in dict.fromkeys(block["codec"])]
        lines.append((0.0, [anchor, "0.0", "", "", "0.0", "0.0", "", "anchor"]))
        lines.sort(key=lambda line: (math.isnan(line[0]), line[0]))
        comparable = sum(not math.isnan(rate) for rate, _ in lines) > 1  # more than the anchor
        for place, (_, texts) in enumerate(lines):
            codec, rate, *others = texts
            best = comparable and place == 0
            shown = [Cell(str(labels.get(codec, codec))), Cell(rate, best=best)]
            rows.append([Cell(title(str(metric))), *shown, *map(Cell, others)])
    return Table(
        name=f"{data.stem}-bd-rate",
        caption=f"{data.title}: BD-rate{against}, {data.images}",
        head=[
            *("Metric", "Codec", f"BD-rate (%) {DOWN}", "95 % interval", "BD-quality"),
            *("akima (%)", "cubic (%)", "overlap (%)", "Note"),
        ],
        align="llrrrrrrl",
        rows=rows,
        notes=[
            *_BD_NOTES,
            *data.defined(dict.fromkeys(data.bd["metric"])),
            data.provenance,
        ],
        group=True,
    )


def _bd_line(codec: str, by_method: Mapping[str, pd.DataFrame]) -> tuple[float, list[str]]:
    """Return BD-rate and texts of one codec, in the order of the columns after the metric."""
    found = {
        method: frame[frame["codec"] == codec].iloc[0]
        for method, frame in by_method.items()
        if (frame["codec"] == codec).any()
    }
    head = found["pchip"]
    rates = {method: float(line["bd_rate_percent"]) for method, line in found.items()}
    low, high = float(head["ci_low"]), float(head["ci_high"])
    interval = "" if math.isnan(low) else f"{_signed(low)} to {_signed(high)}"
    others = [_signed(rates.get(method, math.nan)) for method in ("akima", "cubic")]
    quality = number(float(head["bd_quality"]), digits(str(head["metric"])), sign=True)
    overlap = number(float(head["overlap_percent"]), 0)
    note = next((str(line["note"]) for line in found.values() if line["note"]), "")
    rate = rates["pchip"]
    return rate, [codec, _signed(rate), interval, quality, *others, overlap, note]


def _signed(value: float) -> str:
    return number(value, 1, sign=True)


def ceiling_table(data: Dataset, ceilings: pd.DataFrame | None) -> Table:
    """Return the PSNR that each codec's colour conversion alone allows."""
    rows = []
    if ceilings is not None and len(ceilings):
        frame = ceilings
        if "dataset" in frame.columns:
            frame = frame[frame["dataset"] == data.name]
        best = frame["ceiling_psnr_db"].max()
        for line in frame.sort_values(["codec", "label"]).to_dict("records"):
            value = float(line["ceiling_psnr_db"])
            rows.append([Cell(str(line["label"])), Cell(number(value, 2), best=value == best)])
    return Table(
        name=f"{data.stem}-ceilings",
        caption=f"{data.title}: no-codec ceilings",
        head=["Codec", f"{title('psnr_db')} {UP}"],
        align="lr",
        rows=rows,
        notes=[
            _CEILING_NOTE,
            *([] if rows else ["No ceiling was measured."]),
            data.provenance,
        ],
    )


def _lines(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[Cell]]:
    """Return the texts of some columns as rows of cells."""
    return [[Cell(str(line[name])) for name in columns] for line in frame.to_dict("records")]


def failure_tables(data: Dataset, unavailable: Sequence[tuple[str, str]]) -> list[Table]:
    """Return what failed, which images the means lack and why, and which codecs cannot run."""
    failed, lost = summary.failures(data.rows), summary.missing(data.rows)
    share = [f"{c} of {a}" for c, a in zip(failed["cells"], failed["attempted"], strict=True)]
    return [
        Table(
            name=f"{data.stem}-failures",
            caption=f"{data.title}: failures",
            head=["Codec", "Failed", "Images", "Error"],
            align="lrll",
            rows=_lines(failed.assign(share=share), ["label", "share", "images", "error"]),
            notes=[] if len(failed) else ["No cell failed."],
        ),
        Table(
            name=f"{data.stem}-missing",
            caption=f"{data.title}: images left out of every mean",
            head=["Image", "Codec", "Settings", "Why"],
            align="llrl",
            rows=_lines(lost, ["image", "codec", "settings", "reason"]),
            notes=[] if len(lost) else ["Every image is in every mean."],
            group=True,
        ),
        Table(
            name=f"{data.stem}-unavailable",
            caption="Codecs that could not run here",
            head=["Codec", "Why"],
            align="ll",
            rows=[[Cell(name), Cell(reason)] for name, reason in unavailable],
            notes=[*([] if unavailable else ["Every codec could run."]), data.provenance],
        ),
    ]


def write_all(
    rows: pd.DataFrame,
    out: Path,
    *,
    provenance: Mapping[str, Any],
    ceilings: pd.DataFrame | None = None,
    unavailable: Sequence[tuple[str, str]] = (),
    definitions: Mapping[str, str] | None = None,
    anchor: str | None = None,
    display_names: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the CSV files into ``out`` and the tables into ``out/tables``; return their paths.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.
    out
        Made if missing.
    provenance
        Plain data as of ``provenance.record``: date, commit, cpu, cores, versions.
    ceilings
        ``codec, label, ceiling_psnr_db``, with or without ``dataset``.
    unavailable
        (codec, reason) of the codecs that could not run.
    definitions
        Metric column -> one sentence.
    anchor
        Codec that the Bjontegaard rates are against; see ``summary.bd_table``.
    display_names
        Dataset -> what captions call it.

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If no row is of the codec ``anchor``.
    """
    means, deltas = summary.summarise(rows), summary.bd_table(rows, anchor, quality=True)
    make_folder(out)
    folder = make_folder(out / "tables")
    written = write_frame(summary.sort_rows(tidy_rows(rows)), out, "rows")
    written += write_frame(means, out, "summary")
    written += write_frame(deltas.drop(columns=["cause", "bd_quality"]), out, "bd_rate")
    datasets = sorted(str(name) for name in rows["dataset"].unique())
    stems = file_stems(datasets)
    for name in datasets:
        data = Dataset(
            name=name,
            title=(display_names or {}).get(name, name),
            stem=stems[name],
            rows=rows[rows["dataset"] == name],
            summary=means[means["dataset"] == name],
            bd=deltas[deltas["dataset"] == name],
            definitions=definitions or {},
            provenance=" ".join(
                [
                    *(f"{line}." for line in provenance.get("remarks") or ()),
                    provenance_note(provenance),
                ]
            ),
        )
        groups = {
            "rd": [rd_table(data)],
            "bd_rate": [bd_table(data)],
            "ceilings": [ceiling_table(data, ceilings)],
            "failures": failure_tables(data, unavailable),
        }
        for kind, tables in groups.items():
            written += _write(tables, folder / f"{data.stem}_{kind}")
    return written


def _write(tables: Sequence[Table], path: Path) -> list[Path]:
    """Write ``path.md`` and ``path.tex``; the stem may have dots of its own."""
    markdown, latex = (path.with_name(path.name + suffix) for suffix in (".md", ".tex"))
    write_atomically(markdown, "\n".join(table.markdown() for table in tables).encode())
    write_atomically(latex, "\n".join(table.latex() for table in tables).encode())
    return [markdown, latex]
