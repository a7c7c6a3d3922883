"""``throughput.md``: speed, phases and process start of a dataset, for readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.analysis.summary import parse_setting
from bench.output.coverage import count_text, setting_text
from bench.output.labels import lanes_text, short_labels, versions
from bench.output.provenance import provenance_note
from bench.output.table_formats import Cell, Table, number, significant
from bench.throughput.measure import Quality, Result
from bench.throughput.rows import START, Config, Row
from bench.throughput.runner import DECODE, DIRECTIONS, ENCODE, LOAD, OTHER, WRITE

BUSY = "MACHINE WAS BUSY"
"""Stands in every caption and heading of what others may have slowed down."""

REFINEMENT = "refinement"
"""Of encoders that refine: a column only where a codec has it."""

PHASES = (
    LOAD,
    "analysis",
    REFINEMENT,
    "entropy model",
    "entropy coding",
    "synthesis",
    OTHER,
    WRITE,
)
_MB = 1e6
_DEFINITIONS = (
    (
        "encode and decode: memory to memory, pixels to a whole file's bytes and back; MP/s and ms "
        "are those of the median pass, in brackets the interquartile range."
    ),
    (
        "threads: of one process on so many cores. processes: as many at once, one thread and one "
        "core each, started together; MP/s is their sum, ms an image its inverse."
    ),
    (
        "Peak memory: resident, with Python, libraries and images, summed over processes; on the "
        "GPU torch's tensors. J/MP: of the GPU's board."
    ),
    (
        "load and write: source and file, or file and PNG, from and to the system's cache; "
        "measured once a codec, in one process."
    ),
)

Known = Mapping[tuple[str, str], Quality]
"""(codec, setting) -> what its files look like, of one dataset."""

Names = Mapping[str, str]
"""Label -> the same without versions, which stand in a note."""

Measured = dict[Config, dict[tuple[str, str], Row]]
Column = tuple[str, str, Callable[[Config, dict[tuple[str, str], Row]], str]]
"""Head, alignment, text of a cell."""


def by_config(rows: Iterable[Row]) -> Measured:
    """Return configuration -> (direction, phase) -> row, in the order of the rows."""
    found: Measured = {}
    for row in rows:
        config = Config(*(getattr(row, name) for name in Config.__slots__))
        found.setdefault(config, {})[row.direction, row.phase] = row
    return found


def documents(result: Result, provenance: Mapping[str, Any]) -> str:
    """Return the whole file: the tables of every dataset, and what must be said beside them."""
    datasets = dict.fromkeys(row.dataset for row in result.rows)
    labels = list(dict.fromkeys(row.label for row in result.rows))
    short, common = short_labels(labels)
    names = dict(zip(labels, short, strict=True))
    about = [f"All: {common}."] if common else []
    about += [f"{version}." for version in versions(labels)]
    notes = (*_notes(result), *about, provenance_note(provenance))
    parts = []
    for dataset in datasets:
        rows = by_config(row for row in result.rows if row.dataset == dataset)
        known = {(q.codec, q.setting): q for q in result.quality if q.dataset == dataset}
        parts += [
            _speed(dataset, rows, known, names).markdown(),
            _phases(dataset, rows, known, names).markdown(),
            _starts(dataset, rows, known, names, notes).markdown(),
        ]
    return "\n".join(parts)


def _notes(result: Result) -> list[str]:
    """Return definitions, and what failed or is doubtful."""
    failed = [f"FAILED: {config}: {reason}" for config, reason in result.failed]
    return [*_DEFINITIONS, *failed, *result.notes]


def _caption(text: str, dataset: str, rows: Measured) -> str:
    busy = any(row.busy for phases in rows.values() for row in phases.values())
    return f"{BUSY}. {text} {dataset}." if busy else f"{text} {dataset}."


def _runs_on(config: Config) -> str:
    words = [config.device, lanes_text(config.processes, config.threads)]
    return ", ".join([*words, config.precision] if config.precision == "bfloat16" else words)


def _make(
    name: str, caption: str, columns: Sequence[Column], rows: Measured, notes: Sequence[str] = ()
) -> Table:
    """Return a table without the columns that are empty throughout."""
    cells = [[text(config, phases) for _, _, text in columns] for config, phases in rows.items()]
    kept = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    return Table(
        name=name,
        caption=caption,
        head=[columns[i][0] for i in kept],
        align="".join(columns[i][1] for i in kept),
        rows=[[Cell(line[i]) for i in kept] for line in cells],
        notes=notes,
        group=True,
    )


def _names(known: Known, names: Names) -> tuple[Column, ...]:
    """Return the columns that name a configuration."""

    def point(config: Config, _: object) -> str:
        found = known.get((config.codec, config.setting))
        return found.point if found else setting_text(parse_setting(config.setting))

    return (
        ("codec", "l", lambda config, _: names[config.label]),
        ("setting", "l", point),
        ("runs on", "l", lambda config, _: _runs_on(config)),
        ("batch", "r", lambda config, _: str(config.batch)),
    )


def _value(direction: str, what: str, name: str, scale: float = 1.0) -> Column:
    """Return the column of one number of a direction."""

    def text(_: Config, phases: dict[tuple[str, str], Row]) -> str:
        row = phases.get((direction, direction))
        return significant(getattr(row, name) / scale) if row else ""

    return f"{direction} {what}", "r", text


def _ms(direction: str) -> Column:
    """Return the column of milliseconds an image with their interquartile range."""

    def text(_: Config, phases: dict[tuple[str, str], Row]) -> str:
        row = phases.get((direction, direction))
        if row is None:
            return ""
        iqr = significant(1000 * row.iqr_s / row.images, 2)
        return significant(row.ms_per_image) + (f" ({iqr})" if iqr else "")

    return f"{direction} ms an image", "r", text


def _speed(dataset: str, rows: Measured, known: Known, names: Names) -> Table:
    def quality_of(name: str, digits: int) -> Callable[[Config, object], str]:
        def text(config: Config, _: object) -> str:
            found = known.get((config.codec, config.setting))
            return number(getattr(found, name), digits) if found else ""

        return text

    columns: list[Column] = [
        *_names(known, names),
        ("bpp", "r", quality_of("bpp", 3)),
        ("PSNR (dB)", "r", quality_of("psnr_db", 2)),
    ]
    for way in DIRECTIONS:
        columns += [_value(way, "MP/s", "mp_per_s"), _ms(way)]
    for way in DIRECTIONS:
        columns += [
            _value(way, "peak MB", "peak_host_bytes", _MB),
            _value(way, "GPU MB", "peak_device_bytes", _MB),
            _value(way, "J/MP", "energy_j_per_mp"),
        ]
    timed = {c: phases for c, phases in rows.items() if (ENCODE, ENCODE) in phases}
    images = max((q.images for q in known.values()), default=0)
    about = f"Speed on {count_text(images, 'image')} of"
    return _make("speed", _caption(about, dataset, rows), columns, timed)


def _phases(dataset: str, rows: Measured, known: Known, names: Names) -> Table:
    """Return ms an image by phase; one line a direction."""
    point = _names(known, names)
    seen = {name for phases in rows.values() for _, name in phases}
    columns = [name for name in PHASES if name != REFINEMENT or name in seen]
    lines: list[list[Cell]] = []
    for config, phases in rows.items():
        for way in DIRECTIONS:
            found = [phases.get((way, name)) for name in columns]
            if not any(found):
                continue
            whole = phases.get((way, way))
            texts = [*(text(config, phases) for _, _, text in point), way]
            texts += [significant(row.ms_per_image) if row else "" for row in (*found, whole)]
            lines.append([Cell(text) for text in texts])
    head = [*(head for head, _, _ in point), "direction", *columns, "whole call"]
    return Table(
        name="phases",
        caption=_caption("Milliseconds an image by phase,", dataset, rows),
        head=head,
        align="lllrl" + "r" * (len(columns) + 1),
        rows=lines,
        notes=(f"The whole call lies between {LOAD} and {WRITE}; {OTHER} is what is in no phase.",),
        group=True,
    )


def _starts(
    dataset: str, rows: Measured, known: Known, names: Names, notes: Sequence[str]
) -> Table:
    """Return what a new process costs before it codes at full speed."""

    def column(name: str, head: str) -> Column:
        def text(_: Config, phases: dict[tuple[str, str], Row]) -> str:
            row = phases.get((START, name))
            return significant(1000 * row.median_s) if row else ""

        return head, "r", text

    columns = [
        *_names(known, names)[:3],
        column("python", "Python"),
        column("import", "imports"),
        column("first encode", "first encode"),
        column("first decode", "first decode"),
        column(START, "sum"),
    ]
    started = {c: phases for c, phases in rows.items() if (START, START) in phases}
    caption = _caption("Process start in milliseconds, in no other number,", dataset, rows)
    return _make("start", caption, columns, started, notes)


def fastest(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Return (codec, setting, device) -> the fastest decoding of each number of cores, rising."""
    best: dict[tuple[str, str, str], dict[tuple[int, int], Row]] = {}
    for row in rows:
        if row.direction == DECODE == row.phase:
            lanes = best.setdefault((row.codec, row.setting, row.device), {})
            key = (row.processes, row.threads)
            if key not in lanes or row.mp_per_s > lanes[key].mp_per_s:
                lanes[key] = row
    return {
        key: sorted(lanes.values(), key=lambda r: r.processes * r.threads)
        for key, lanes in best.items()
    }
