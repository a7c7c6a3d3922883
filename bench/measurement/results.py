"""The results of one plan: what tables, plots, page, figures and notebooks read.

A run is a plan and its rows. ``load_results`` returns those of the last plan that was finished;
rows that other plans left in the same folder take no part. Committed results have no database:
theirs are ``rows.csv`` and ``run.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import OutputError
from bench.measurement import untrusted
from bench.measurement.origins import duplicates_text, provenance_remarks
from bench.measurement.store import COMPLETE, DATABASE, TARGET, TARGET_BPP, Store, scores_of
from bench.metrics.columns import metric_columns

if TYPE_CHECKING:
    import sqlite3

    from bench.image import Image

__all__ = ["DATABASE", "RECORD", "ROWS", "Results", "load_results", "read_csv", "stored_results"]

RECORD = "run.json"
ROWS = "rows.csv"

_TEXT = (
    *("dataset", "image", "codec", "label", "setting", "bitstream_sha256", "error"),
    *("anchor", "target", "metric", "method", "note", "cause", "found_setting", "target_note"),
    "settings",
)
_CEILINGS = ["dataset", "codec", "label", "ceiling_psnr_db", "images"]


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The rows of one plan, and the record of how they were measured.

    Attributes
    ----------
    folder
        Where they lie; gone where nothing was kept.
    rows
        One row per cell of the plan: the columns of ``rows.csv``, with the columns of the plan's
        metrics, plus ``width`` and ``height`` in pixels (NaN where an old record does not say).
        Without those of ``families``.
    ceilings
        ``dataset, codec, label, ceiling_psnr_db, images``; empty where nothing is stored.
    record
        The run record: date, commit, versions, machine, datasets, notes, unavailable.
    database
        The file that holds the bitstreams, or None.
    families
        A codec -> the rows of it and its variants, which are compared with one another alone; see
        ``Codec.family``.
    """

    folder: Path
    rows: pd.DataFrame
    ceilings: pd.DataFrame
    record: Mapping[str, Any]
    database: Path | None = None
    families: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def every_row(self) -> pd.DataFrame:
        """All cells of the plan, those of ``families`` after those of ``rows``."""
        parts = [self.rows, *self.families.values()]
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else self.rows

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets, sorted."""
        return sorted(str(name) for name in self.rows["dataset"].unique())

    @property
    def unavailable(self) -> list[tuple[str, str]]:
        """Codecs and metrics that could not be measured, each with its reason."""
        return [(str(name), str(reason)) for name, reason in self.record.get("unavailable", [])]

    @property
    def unfinished(self) -> str:
        """``unfinished: 5 of 48 cells measured``; empty for the results of a finished plan."""
        cells = self.record.get("cells") or {}
        if self.record.get("finished") or "planned" not in cells:
            return ""
        return f"unfinished: {cells['measured']} of {cells['planned']} cells measured"

    @property
    def remarks(self) -> list[str]:
        """Sentences that a reader of the numbers must see, on the terminal and under tables."""
        lines = [self.unfinished] if self.unfinished else []
        if later := self.record.get("later"):
            lines.append(
                f"a later run of {later['started']} has not finished ({later['measured']} of "
                f"{later['planned']} cells); these are the results of the last finished run, "
                f"begun {self.record.get('started', '')}"
            )
        lines += provenance_remarks(self.record)
        lines += [str(sentence) for sentence in self.record.get("differences") or []]
        for name, about in (self.record.get("datasets") or {}).items():
            if equal := about.get("duplicates"):
                lines.append(duplicates_text(name, equal))
        return lines + missed_targets(self.every_row)

    def summary(self) -> pd.DataFrame:
        """Return the means of every point; see ``bench.analysis.summary.summarise``."""
        from bench.analysis.summary import summarise

        parts = [summarise(rows) for rows in (self.rows, *self.families.values())]
        return pd.concat(parts, ignore_index=True)

    def bd_rates(self, anchor: str | None = None) -> pd.DataFrame:
        """Return the Bjontegaard rates against a codec; see ``bench.analysis.summary.bd_table``.

        Raises
        ------
        UsageError
            If no row is of the codec ``anchor``.
        """
        from bench.analysis.summary import bd_table

        return bd_table(self.rows, anchor)

    def failures(self) -> pd.DataFrame:
        """Return what failed and why; see ``bench.analysis.summary.failures``."""
        from bench.analysis.summary import failures

        return failures(self.every_row)

    def original(
        self,
        dataset: str,
        image: str,
        data_dir: Path | None = None,
        folders: Sequence[str] = (),
    ) -> Image:
        """Return the picture that was measured, uint8 RGB (H, W, 3), checked by its pixel hash.

        A folder is opened only if this user made the run, or names it in ``folders``; see
        ``bench.measurement.originals``.

        Raises
        ------
        BenchError
            If it is not available here, may not be shown, or is not the one that was measured.
        """
        from bench.measurement.originals import original

        return original(self.record, dataset, image, data_dir, folders)


def missed_targets(rows: pd.DataFrame) -> list[str]:
    """Return a sentence for each dataset on which codecs cannot reach a target."""
    if "target_note" not in rows:
        return []
    far = rows[rows["target_note"].str.startswith("out of reach")]
    lines = []
    for dataset, group in far.groupby("dataset"):
        whole = rows[rows["dataset"] == dataset]
        cases = []
        for (codec, setting), one in group.groupby(["codec", "setting"]):
            alike = (whole["codec"] == codec) & (whole["setting"] == setting)
            aim, by = json.loads(str(setting))[TARGET], one["target_miss"].abs().max()
            cases.append(f"{codec} at {aim} on {len(one)} of {alike.sum()} images (by {by:.4g})")
        lines.append(
            f"{dataset}: out of reach, so that means there are not at equal quality: "
            f"{', '.join(cases)}"
        )
    return lines


def load_results(folder: Path | str, *, unfinished: bool = False) -> Results:
    """Return the results in ``folder``: of its database, else of ``rows.csv`` and ``run.json``.

    They are those of the last plan that was finished.

    Parameters
    ----------
    folder
        What ``bench all`` or ``run`` wrote to.
    unfinished
        Where no plan ever finished, return what there is of the one that was begun last;
        ``Results.unfinished`` says so, and whoever shows a number must say it too.

    Raises
    ------
    OutputError
        If it has neither, nothing was measured, no plan was finished, or what lies there is
        damaged.
    """
    folder = Path(folder)
    if (folder / DATABASE).is_file():
        with Store(folder, writing=False) as store:
            results = stored_results(store)
    elif (folder / ROWS).is_file():
        record = read_record(folder)
        ceilings = _recorded_ceilings(record, folder / RECORD)
        rows, families = _apart(_checked_rows(folder / ROWS, record), record)
        results = Results(folder, rows, ceilings, record, families=families)
    else:
        raise OutputError(
            f"{folder} holds no results: looked for {DATABASE} and {ROWS}", "Run `bench all`."
        )
    if not results.rows["bpp"].notna().any():
        raise OutputError(f"{folder} holds no successful measurement", "Run `bench all`.")
    if results.unfinished and not unfinished:
        raise OutputError(
            f"{folder} holds no finished run: {results.unfinished}",
            "Run the same command again to finish it; in Python, load_results(..., "
            "unfinished=True) returns what there is.",
        )
    return results


def stored_results(store: Store) -> Results:
    """Return the results that a database holds, perhaps without a row; see ``load_results``."""
    with store.snapshot() as db:
        runs = db.execute("SELECT id, started, finished, record FROM runs ORDER BY id").fetchall()
        if not runs:
            raise OutputError(f"{store.folder} holds no results", "Run `bench all` first.")
        shown = next((run for run in reversed(runs) if run[2]), runs[-1])
        record: dict[str, Any] = {"started": shown[1], "finished": shown[2]}
        parsed = untrusted.parse_json(shown[3], store.path)
        record |= untrusted.check_record(parsed, store.path)
        planned, measured = store.progress(shown[0])
        record["cells"] = {"planned": planned, "measured": measured}
        if shown is not runs[-1]:
            planned, measured = store.progress(runs[-1][0])
            record["later"] = {"started": runs[-1][1], "planned": planned, "measured": measured}
        rows, ceilings = _rows(db, shown[0], record), _ceilings(db, shown[0])
    untrusted.check_rows(rows, store.path)
    rows, families = _apart(rows, record)
    return Results(store.folder, rows, ceilings, record, store.path, families)


def _apart(
    rows: pd.DataFrame, record: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the rows without those of families, and those; all of them where nothing is left."""
    members = record.get("families") or {}
    inside = rows["codec"].isin([name for names in members.values() for name in names])
    if inside.all():
        return rows, {}
    found = {name: rows[rows["codec"].isin(names)] for name, names in members.items()}
    kept = {name: one.reset_index(drop=True) for name, one in found.items() if len(one)}
    return rows[~inside].reset_index(drop=True), kept


_QUERY = f"""
SELECT c.dataset, c.image, c.curve AS codec, c.label, c.setting, e.bytes,
  8.0 * e.bytes / (e.width * e.height) AS bpp, e.key, e.encode_s, e.decode_s,
  e.bitstream AS bitstream_sha256, NULLIF(e.setting, c.setting) AS found_setting,
  COALESCE(c.error, f.error, '') AS error, f.width, f.height
FROM cells c LEFT JOIN encodings f ON f.key = c.key
  LEFT JOIN encodings e ON e.key = c.key AND c.error IS NULL
WHERE c.run = :run AND {COMPLETE} ORDER BY c.dataset, c.image, c.curve, c.setting
"""  # noqa: S608 - all of it is ours


def _rows(db: sqlite3.Connection, run: int, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per complete cell of a run, with the scores of its metrics alone."""
    frame = pd.read_sql_query(_QUERY, db, params={"run": run, "scores": scores_of(db, run)})
    position = list(frame.columns).index("bpp") + 1
    for name, about in (record.get("scores") or {}).items():
        values = dict(
            db.execute(
                "SELECT key, value FROM scores WHERE metric = ? AND version = ?",
                (name, about["version"]),
            ).fetchall()
        )
        frame.insert(position, about["column"], frame["key"].map(values).astype(float))
        position += 1
    frame = _searched(db, frame)
    numbers = ["bytes", "bpp", "encode_s", "decode_s", "width", "height"]
    frame[numbers] = frame[numbers].astype(float)
    return frame.drop(columns="key")


def _searched(db: sqlite3.Connection, frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows with what the searches for targets found; without that where none searched."""
    if frame["found_setting"].isna().all():
        return frame.drop(columns="found_setting")
    query = "SELECT key, value, COALESCE(note, '') FROM scores WHERE metric = ?"
    found, rates = (
        {key: (value, note) for key, value, note in db.execute(query, (name,))}
        for name in (TARGET, TARGET_BPP)
    )
    misses, notes = zip(*(found.get(key, (None, "")) for key in frame["key"]), strict=True)
    exact = [rates.get(key, (None, ""))[0] for key in frame["key"]]
    frame = frame.fillna({"found_setting": ""})
    frame = frame.assign(target_miss=misses, target_bpp=exact, target_note=notes)
    return frame.astype({"target_miss": float, "target_bpp": float})


def _ceilings(db: sqlite3.Connection, run: int) -> pd.DataFrame:
    """Return codec, label and mean no-codec ceiling in dB over the images of each curve."""
    return pd.read_sql_query(
        "SELECT c.dataset, c.curve AS codec, c.label, AVG(x.psnr_db) AS ceiling_psnr_db,"
        " COUNT(*) AS images FROM (SELECT DISTINCT c.dataset, c.image, c.curve, c.label, e.pixels,"
        " e.label AS conversion FROM cells c JOIN encodings e ON e.key = c.key WHERE c.run = ?) c"
        " JOIN ceilings x ON x.pixels = c.pixels AND x.label = c.conversion"
        " GROUP BY c.dataset, c.curve, c.label ORDER BY c.dataset, c.curve",
        db,
        params=(run,),
    )


def _recorded_ceilings(record: dict[str, Any], path: Path) -> pd.DataFrame:
    """Take the ceilings out of a record, where an infinite one is the text ``inf``."""
    try:
        frame = pd.DataFrame(record.pop("ceilings", []), columns=_CEILINGS)
        return frame.astype({"ceiling_psnr_db": float})
    except (ValueError, TypeError) as error:
        raise OutputError(
            f"{path} holds ceilings that are none: {error}", "Run `bench all` again."
        ) from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` says.

    Raises
    ------
    OutputError
        If it is missing, damaged, or not such a record.
    """
    path = folder / RECORD
    try:
        return untrusted.check_record(untrusted.read_json(path), path)
    except FileNotFoundError as error:
        raise OutputError(
            f"{path} is missing, which belongs to {ROWS}", "Put it back, or run `bench all` again."
        ) from error


def read_csv(path: Path) -> pd.DataFrame:
    """Return a table that bench wrote: equal floats, text columns as text, no error as ``""``.

    Raises
    ------
    OutputError
        If the file is missing or not such a table.
    """
    try:
        if path.stat().st_size > untrusted.MAX_TABLE:
            raise ValueError(f"over {untrusted.MAX_TABLE >> 20} MiB")  # noqa: TRY301
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {name: _numbers(frame[name]) for name in frame.columns if name not in _TEXT}
    except (OSError, ValueError) as error:
        raise OutputError(
            f"cannot read {path} as a table ({' '.join(str(error).split())})",
            "Run `bench tables` to write it again.",
        ) from error
    return frame.assign(**numbers)


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column of texts as floats, the empty ones NaN."""
    values = [float(text) if text else float("nan") for text in column]
    return pd.Series(values, index=column.index, dtype=float)


def _checked_rows(path: Path, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``rows.csv``, refused where a mean over it would not be what it says."""
    frame = untrusted.check_rows(read_csv(path), path)
    if frame[["dataset", "image", "codec", "setting"]].duplicated().any():
        raise OutputError(f"{path} has a cell twice", "Run `bench all` again.")
    if scores := record.get("scores"):  # some columns stand in every file, measured or not
        columns = {about.get("column") for about in scores.values()}
        frame = frame.drop(columns=[n for n in metric_columns(frame) if n not in columns])
    try:
        known = {
            (dataset, image): (float(width), float(height))
            for dataset, about in (record.get("datasets") or {}).items()
            for image, (width, height) in (about.get("sizes") or {}).items()
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise OutputError(
            f"{path.with_name(RECORD)} has sizes that are none: {error}", "Run `bench all` again."
        ) from error
    unknown = (float("nan"), float("nan"))
    pairs = zip(frame["dataset"], frame["image"], strict=True)
    sizes = [known.get(pair, unknown) for pair in pairs]
    return frame.assign(width=[w for w, _ in sizes], height=[h for _, h in sizes])
