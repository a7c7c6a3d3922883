"""Sections of the page that are more frame than numbers: title, tables in context, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.measurement.results import Results
from bench.output.plot_styles import short_labels
from bench.output.tables import count_text, title
from bench.report import reproduce, tables
from bench.report import results as data
from bench.report.dataset_view import Context
from bench.report.html import Table, Td, definition_list, esc, term
from bench.report.verdicts import listed


def page_title(contexts: Sequence[Context]) -> str:
    """Return what the page is called where nobody said."""
    codecs = {str(codec) for context in contexts for codec in context.means["codec"]}
    names = [_shown(context.name) for context in contexts]
    return f"{count_text(len(codecs), 'image codec')} on {listed(names)}"


def _shown(dataset: str) -> str:
    """Return a dataset's name for titles: ``Kodak``, a folder by its last part."""
    if dataset.startswith("folder:"):
        return dataset.rstrip("/").rpartition("/")[2].removeprefix("folder:")
    return dataset[:1].upper() + dataset[1:]


def masthead(contexts: Sequence[Context], results: Results, given: str) -> str:
    """Return title, one line of what this is, what must be known of it, the choice of dataset."""
    record = results.record
    remarks = "".join(f"<p><strong>{esc(remark)}.</strong></p>" for remark in results.remarks)
    files = sum(len(context.rows) for context in contexts)
    date = f', <span class="nb">{esc(record["date"])}</span>' if record.get("date") else ""
    told = [
        f"{count_text(c.images, 'photograph')} of {_shown(c.name).split(' (')[0]}" for c in contexts
    ]
    choice = ""
    if len(contexts) > 1:
        options = "".join(
            f'<option value="{c.index}">{esc(_shown(c.name))}: '
            f"{count_text(c.images, 'image')}</option>"
            for c in contexts
        )
        choice = (
            '<label class="choice" for="dataset">Dataset '
            f'<select id="dataset">{options}</select></label>'
        )
    return (
        f"<h1>{esc(given or page_title(contexts))}</h1>"
        f'<p class="standfirst">How many bits does each codec need for the same quality? '
        f"Measured from {files:,} real files of {esc(listed(told))}{date}.</p>{remarks}{choice}"
    )


def pictures_lead(*, exact: bool) -> str:
    """Return what the pictures of the viewer are."""
    kept = "Nothing is lost in keeping them here."
    if exact:
        how = term("exact", "one rate")
        return f"Every codec encoded these pictures for this page to {how}. {kept}"
    how = term("matched", "setting nearest to one rate")
    return f"Pictures decoded from the measured files, at the {how}. {kept}"


def rates(context: Context) -> str:
    """Return the two tables that the curves come down to."""
    labels = list(dict.fromkeys(str(label) for label in context.means["label"]))
    _, common = short_labels(labels)
    held = f'<p class="small">All: {esc(common)}.</p>' if common else ""
    return f"{tables.bd_rates(context)}{tables.rates(context)}{held}"


def ledger(context: Context) -> str:
    """Return what files are spent on."""
    return tables.ledger(context)


def codecs(context: Context) -> str:
    """Return what each codec is."""
    return tables.codecs(context)


def failures(
    contexts: Sequence[Context],
    unavailable: Sequence[tuple[str, str]],
    left_out: Sequence[str],
) -> str:
    """Return failures by dataset, codecs that could not run, pictures that are not here."""
    blocks = "".join(
        f'<div class="dataset" data-dataset="{c.index}">{tables.failures(c)}</div>'
        for c in contexts
    )
    absent = "".join(f"<li>{esc(reason)}</li>" for reason in left_out)
    pictures = f"<h3>Pictures that are not in this page</h3><ul>{absent}</ul>" if absent else ""
    return f"{blocks}{tables.unavailable(unavailable)}{pictures}"


def provenance(results: Results, contexts: Sequence[Context]) -> str:
    """Return where the numbers come from, and how to get them again."""
    record = results.record
    run = {
        "Measured": esc(record.get("started") or record.get("date") or "unknown"),
        "Machine": esc(_machine(record)),
        "Commit": f"<code>{esc(record.get('commit') or 'unknown')}</code>",
        "Bitstreams": "stored and decoded for this page"
        if results.database
        else "encoded again for this page, each equal to the sha256 that was recorded",
    }
    versions = record.get("versions") or {}
    lines = [[Td.text(name), Td.text(version)] for name, version in versions.items()]
    listed_versions = Table("versions", "Versions", ["Package", "Version"], lines).markup()
    sources = "".join(
        f"<h3>Dataset {esc(name)}</h3>{definition_list(_dataset(about))}"
        for name, about in (record.get("datasets") or {}).items()
    )
    metrics = {title(name): esc(text) for name, text in data.definitions(record).items()}
    return (
        f"<div class=columns><div><h3>The run</h3>{definition_list(run)}"
        f"<h3>To get these numbers again</h3><pre>{esc(reproduce.commands(contexts))}</pre>"
        f"<h3>Metrics</h3>{definition_list(metrics)}</div>"
        f"<div>{sources}<details><summary>Package versions</summary>{listed_versions}</details>"
        "</div></div>"
    )


def _dataset(about: Mapping[str, Any]) -> dict[str, str]:
    """Return what the run recorded of a dataset, in words."""
    known = {key: esc(value) for key, value in about.items() if value not in ("", None)}
    images, expected = known.pop("images", ""), known.pop("expected", "")
    digest = known.pop("pixels_sha256", "")
    words = {key.replace("_", " ").capitalize(): text for key, text in known.items()}
    if images:
        words["Images"] = f"{images} of {expected}" if expected else images
    if digest:
        words["Sha256 of pixels"] = f"<code>{digest}</code>"
    return words


def _machine(record: Mapping[str, Any]) -> str:
    cores = record.get("cores")
    parts = [
        record.get("machine"),
        record.get("cpu"),
        f"{cores} cores" if cores else "",
        record.get("gpu"),
        record.get("system"),
    ]
    return ", ".join(str(part) for part in parts if part) or "unknown"


def glossary(entries: Mapping[str, Mapping[str, str]]) -> str:
    """Return every word that explains itself in the page, for readers without scripts."""
    return definition_list({entry["title"]: esc(entry["text"]) for entry in entries.values()})
