"""Export for a hub of datasets: Parquet files, and a card that says what they are.

The card is a ``README.md`` with a head in YAML: the keys ``pretty_name``, ``license``, ``tags``,
``size_categories`` and ``configs`` (a table each) of https://huggingface.co/docs/hub/datasets-cards
and https://huggingface.co/docs/hub/datasets-manual-configuration. All it says is a fact of the run;
paths of the machine are in neither card nor tables, and no times: those of the rows are no speeds.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import OutputError, UsageError
from bench.files import make_folder, write_atomically
from bench.measurement.results import Results
from bench.metrics.columns import column, metric_columns
from bench.output.coverage import count_text
from bench.output.csv_files import tidy_rows
from bench.output.provenance import provenance_note
from bench.output.table_formats import escape_markdown, plain_text

_MARK = "<!-- Written by `bench export`, which replaces this file. -->"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TABLES = {
    "rows": "one line for each image, codec and setting",
    "summary": "the mean of each codec and setting over the images of a dataset",
    "bd_rate": "BD-rates against the codec `anchor`, with interval and overlap",
}
_COLUMNS = {
    "dataset": "the set that the image belongs to",
    "image": "its name",
    "codec": "the codec, with options that are not its defaults",
    "label": "format, effort and version of the encoder",
    "setting": "the setting, as JSON",
    "bytes": "size of the whole file",
    "bpp": "bits per pixel of the whole file: 8 * bytes / (width * height)",
    "found_setting": "the setting that a search found; `setting` holds the target",
    "target_miss": "the value of the target's metric less the target",
    "target_bpp": "the rate at the very target, interpolated between the nearest files",
    "target_note": "why no file is nearer to the target; empty where one is near",
    "bitstream_sha256": "hash of the file",
    "error": "why there is no result; empty where there is one",
}


def write_all(
    results: Results, folder: Path, *, licence: str = "", anchor: str | None = None
) -> list[Path]:
    """Write card and tables of results into a folder of their own; return the files.

    Parameters
    ----------
    results
        Of a finished run.
    folder
        A new one, or one that this function wrote.
    licence
        The hub's identifier of the licence that the numbers are given under; empty: none is said.
    anchor
        Codec that BD-rates are against.

    Raises
    ------
    UsageError
        If the licence is no identifier, or no row is of the anchor.
    OutputError
        If pyarrow is missing, or the folder holds another README or cannot be written.
    """
    if licence and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise UsageError(
            f"--licence wants an identifier, found {licence!r}",
            "Write one of huggingface.co/docs/hub/repositories-licenses, such as cc-by-4.0.",
        )
    _check(folder)
    names = _public_names(results)
    rows = tidy_rows(results.every_row)
    empty = [name for name in metric_columns(rows) if not rows[name].notna().any()]
    frames = {
        "rows": rows.drop(columns=["encode_s", "decode_s", *empty]),
        "summary": results.summary(),
        "bd_rate": results.bd_rates(anchor),
    }
    tables = {name: _public(frame, names, results) for name, frame in frames.items() if len(frame)}
    make_folder(folder / "data")
    written = [folder / "README.md"]
    for name, frame in tables.items():
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        written.append(folder / "data" / f"{name}.parquet")
        write_atomically(written[-1], buffer.getvalue())
    text = "\n".join([*_head(tables, names, licence), *_body(results, tables, names)]) + "\n"
    write_atomically(written[0], text.encode("utf-8", "backslashreplace"))
    return written


def _check(folder: Path) -> None:
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise OutputError(
            f"Parquet files need pyarrow: {error}", "pip install 'agvae-bench[parquet]'"
        ) from error
    card = folder / "README.md"
    if card.exists() and _MARK not in card.read_text(encoding="utf-8", errors="replace"):
        raise OutputError(
            f"{card} was not written by bench export; it stays", "Choose another --to."
        )


def _public_names(results: Results) -> dict[str, str]:
    """Return dataset -> its name without the path of its folder."""
    found: dict[str, str] = {}
    for name in sorted(str(name) for name in results.every_row["dataset"].unique()):
        shown = re.sub(r"^folder:.*/(?=.)", "folder:", name)
        count = sum(other.partition(" #")[0] == shown for other in found.values())
        found[name] = f"{shown} #{count + 1}" if count else shown
    return found


def _public(frame: pd.DataFrame, names: Mapping[str, str], results: Results) -> pd.DataFrame:
    """Return a table without paths of the machine, in datasets and in errors."""
    shown = frame.assign(dataset=[names[str(name)] for name in frame["dataset"]])
    if "error" in shown:
        errors = [_without_paths(str(text), results.record) for text in shown["error"]]
        shown = shown.assign(error=errors)
    return shown.reset_index(drop=True)


def _without_paths(text: str, record: Mapping[str, Any]) -> str:
    for about in (record.get("datasets") or {}).values():
        if folder := str(about.get("folder") or ""):
            text = text.replace(f"{folder}/", "").replace(folder, "the folder")
    return text


def _head(
    tables: Mapping[str, pd.DataFrame], names: Mapping[str, str], licence: str
) -> Iterator[str]:
    rows = len(tables["rows"])
    size = next((word for most, word in _SIZES if rows < most), "1M<n<10M")
    yield "---"
    yield f"pretty_name: {_yaml(_title(names))}"
    if licence:
        yield f"license: {licence}"
    yield "tags:\n- image-compression\n- rate-distortion\n- benchmark"
    yield f"size_categories:\n- {size}"
    yield "configs:"
    for name in tables:
        yield f"- config_name: {name}\n  data_files: data/{name}.parquet"
        if name == "rows":
            yield "  default: true"
    yield f"---\n\n{_MARK}\n"


def _title(names: Mapping[str, str]) -> str:
    return f"Image codecs on {', '.join(names.values())}"


def _yaml(text: str) -> str:
    """Return text as YAML has it in quotes, which is as in JSON for what can be printed."""
    return json.dumps(plain_text(text), ensure_ascii=False)


def _body(
    results: Results, tables: Mapping[str, pd.DataFrame], names: Mapping[str, str]
) -> Iterator[str]:
    record, rows = results.record, tables["rows"]
    yield f"# {escape_markdown(_title(names))}\n"
    codecs = count_text(rows["codec"].nunique(), "codec")
    yield f"Rates and quality of {codecs}. The images are not part of this.\n"
    yield escape_markdown(provenance_note(record)) + "\n"
    for remark in results.remarks:
        for name, shown in names.items():
            remark = remark.replace(name, shown)  # noqa: PLW2901 - in several steps
        yield f"* {escape_markdown(_without_paths(remark, record))}"
    failed = int((rows["error"] != "").sum())
    if failed:
        yield f"* {count_text(failed, 'cell')} failed: the column `error` says why."
    yield "\n## Tables\n"
    for name in tables:
        yield f"* `{name}`: {_TABLES[name]}"
    yield "\n## Images\n"
    yield from _table(("dataset", "images", "licence", "source"), _datasets(record, names))
    yield "\n## Codecs\n"
    labels = rows[["codec", "label"]].drop_duplicates()
    yield from _table(("codec", "label"), labels.to_numpy().tolist())
    yield "\n## Columns of `rows`\n"
    metrics = metric_columns(rows)
    yield from _table(
        ("column", "meaning"), [(name, _meaning(name, metrics)) for name in rows.columns]
    )


def _meaning(name: str, metrics: Sequence[str]) -> str:
    if name not in metrics:
        return _COLUMNS.get(name, "")
    about = column(name)
    unit = f" in {about.unit}" if about.unit else ""
    return f"{about.words}{unit}, {about.better} is better. {about.definition}".strip()


def _datasets(record: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, ...]]:
    known = record.get("datasets") or {}
    return [
        (
            shown,
            str(len(about.get("images") or {})),
            *(str(about.get(key) or "") for key in ("licence", "source")),
        )
        for name, shown in names.items()
        for about in [known.get(name) or {}]
    ]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(escape_markdown(str(text)) for text in line)} |"
