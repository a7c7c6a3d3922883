"""The sections of the page: what it is, which codec wins where and why, where it all comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bench import registry
from bench.analysis.published_curves import Reference
from bench.measurement.results import Results
from bench.measurement.rows import records
from bench.metrics.columns import column
from bench.output.coverage import count_text
from bench.output.labels import short_labels
from bench.output.provenance import machine_of
from bench.output.table_formats import number
from bench.registry import from_file
from bench.report import equal_section, reproduce, speed_section, tables, verdicts
from bench.report import results as data
from bench.report.dataset_view import Context
from bench.report.html import Table, Td, render, term


def page_title(contexts: Sequence[Context]) -> str:
    """Return what the page is called where nobody gave a title."""
    codecs = {codec for context in contexts for codec in context.looks_measured}
    names = [_shown(context.name) for context in contexts]
    return f"{count_text(len(codecs), 'image codec')} on {verdicts.listed(names)}"


def _shown(dataset: str) -> str:
    """Return a dataset's name for titles: ``Kodak``, a folder by its last part."""
    if dataset.startswith("folder:"):
        return dataset.rstrip("/").rpartition("/")[2].removeprefix("folder:")
    return dataset[:1].upper() + dataset[1:]


def masthead(contexts: Sequence[Context], results: Results, title: str) -> Markup:
    """Return title, one line of what this is, the choice of dataset, and what must be known."""
    measured = [
        f"{count_text(c.cover.total, 'photograph')} of {_shown(c.name).split(' (')[0]}"
        for c in contexts
    ]
    return render(
        "masthead.html",
        title=title or page_title(contexts),
        files=f"{sum(len(context.rows) for context in contexts):,}",
        datasets=verdicts.listed(measured),
        date=results.record.get("date"),
        choices=[(c.index, f"{_shown(c.name)}: {c.over()}") for c in contexts],
        remarks=results.remarks,
    )


def summary(context: Context) -> Markup:
    """Return headline, one card a metric, reasons and caveats of one dataset."""
    marks = context.marks
    reasons = verdicts.reasons(
        context.means, context.ceilings, context.ledger, marks, context.verdicts
    )
    overlaps = [
        delta.overlap_percent
        for delta in context.deltas.values()
        if delta.overlap_percent is not None and delta.bd_rate_percent is not None
    ]
    equal = equal_section.headline(context)
    return render(
        "summary.html",
        headline=context.prose(equal or verdicts.headline(context.verdicts, marks)),
        cards=[
            _card(context, verdict) for verdict in context.verdicts if verdict.second or not equal
        ],
        reasons=[context.prose(text) for text in reasons],
        notes=[look for look in context.looks_measured.values() if look.note],
        images=context.images,
        total=context.cover.total,
        overlap=min(overlaps, default=100.0),
        speed=speed_section.card(context),
        speed_missing=speed_section.missing(context),
        speed_command=reproduce.speed_command(context),
        uncounted=[context.prose(f"{text}.") for text in context.costs.remarks],
        count_command=""
        if context.costs.codecs or context.costs.remarks or not _learned(context)
        else reproduce.complexity_command(context),
    )


def _learned(context: Context) -> bool:
    """Return whether a codec of a dataset is known here as a network."""
    known = registry.discover()
    found = [known.get(registry.Spec.parse(codec).name) for codec in context.looks_measured]
    learned = any(one is not None and one.cls is not None and one.cls.learned for one in found)
    return learned or any(map(from_file.is_checkpoints, context.words.values()))


def _card(context: Context, verdict: verdicts.Verdict) -> dict[str, Any]:
    """Return what the card of a metric says and draws."""
    marks = context.marks
    by_rate = context.prose(verdicts.lead_sentence(verdict, marks))
    return {
        "term": term(column(verdict.metric).family, verdicts.words(verdict.metric)),
        "title": column(verdict.metric).title,
        "verdict": context.prose(verdicts.sentence(verdict, marks)),
        "speed": context.prose(speed_section.sentence(context, verdict.winner, verdict.second)),
        "losses": context.prose(verdicts.loss_sentence(verdict, marks)),
        "notes": [text for text in (by_rate, context.coverage(verdict.metric)) if text],
        **_bars(context, verdict.metric),
    }


def _bars(context: Context, metric: str) -> dict[str, Any]:
    """Return one bar a codec: bits needed for equal quality, the anchor's being 100."""
    lines = context.bd[(context.bd["metric"] == metric) & (context.bd["method"] == "pchip")]
    rates: dict[str, tuple[float, float, float]] = {
        str(line["codec"]): (line["bd_rate_percent"], line["ci_low"], line["ci_high"])
        for line in records(lines)
    }
    known = {codec: rate for codec, rate in rates.items() if not math.isnan(rate[0])}
    if not known:
        return {"bars": [], "unknown": []}
    known[context.anchor] = (0.0, math.nan, math.nan)
    longest = max(100 + (rate[0] if math.isnan(rate[2]) else rate[2]) for rate in known.values())
    ranked = sorted(known, key=lambda codec: (known[codec][0], codec))
    return {
        "bars": [_bar(context, codec, known[codec], longest) for codec in ranked],
        "unknown": [context.looks[codec] for codec in rates if codec not in known],
        "anchor": context.looks[context.anchor].name,
        "whiskers": any(not math.isnan(rate[1]) for rate in known.values()),
    }


def _bar(
    context: Context, codec: str, rate: tuple[float, float, float], longest: float
) -> dict[str, Any]:
    middle, low, high = rate
    change = f"{number(middle, 0 if abs(middle) >= 99.5 else 1, sign=True)} %"
    known = not math.isnan(low)
    ends = f"{100 * (100 + low) / longest:.2f}", f"{100 * (high - low) / longest:.2f}"
    return {
        "look": context.looks[codec],
        "width": f"{100 * (100 + middle) / longest:.2f}",
        "whisker": ends if known else None,
        "value": number(100 + middle, 0),
        "change": "anchor" if codec == context.anchor else change,
        "between": f", {number(low, 1)} to {number(high, 1)} %" if known else "",
    }


def pictures_lead(*, exact: bool, targets: bool = False) -> Markup:
    """Return what the pictures of the viewer are."""
    if targets:
        lead = Markup("Pictures decoded from the measured files, of which each hits the target. ")
    elif exact:
        text = Markup("Every codec encoded these pictures for this page to {}. ")
        lead = text.format(term("exact", "one rate"))
    else:
        text = Markup("Pictures decoded from the measured files, at the {}. ")
        lead = text.format(term("matched", "setting nearest to one rate"))
    return lead + "Nothing is lost in keeping them here."


def rates(context: Context, references: Sequence[Reference] = ()) -> Markup:
    """Return the tables that the curves come down to."""
    labels = list(dict.fromkeys(str(label) for label in context.means["label"]))
    _, common = short_labels(labels)
    shared = Markup('<p class="small">All: {}.</p>').format(common) if common else ""
    measured = [tables.per_image(context), tables.rates(context), shared]
    parts = [tables.bd_rates(context), tables.reported(context, references), *measured]
    return Markup("").join(parts)


def failures(
    contexts: Sequence[Context],
    unavailable: Sequence[tuple[str, str]],
    left_out: Sequence[str],
) -> Markup:
    """Return failures by dataset, codecs that could not run, pictures that are not here."""
    return render(
        "failures.html",
        views=[{"index": c.index, "blocks": tables.failures(c)} for c in contexts],
        unavailable=tables.unavailable(unavailable),
        left_out=left_out,
    )


def provenance(
    results: Results, contexts: Sequence[Context], glossary: Mapping[str, Mapping[str, str]]
) -> Markup:
    """Return where the numbers come from, how to get them again, and the glossary."""
    record = results.record
    versions = (record.get("versions") or {}).items()
    machine = [str(record.get("machine") or ""), machine_of(record)]
    lines = [[Td.text(name), Td.text(version)] for name, version in versions]
    run = {
        "Measured": record.get("started") or record.get("date") or "unknown",
        "Machine": ", ".join(filter(None, machine)) or "unknown",
        "Commit": _code(record.get("commit") or "unknown"),
        "Bitstreams": "stored and decoded for this page"
        if results.database
        else "encoded again for this page, each equal to the sha256 that was recorded",
    }
    return render(
        "provenance.html",
        run=run,
        commands=reproduce.commands(contexts, results),
        metrics=data.definitions(results.rows),
        datasets={k: _dataset(v) for k, v in (record.get("datasets") or {}).items()},
        versions=Table("versions", "Versions", ["Package", "Version"], lines).markup(),
        glossary={entry["title"]: entry["text"] for entry in glossary.values()},
    )


def _code(text: object) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _dataset(about: Mapping[str, Any]) -> dict[str, object]:
    """Return what the run recorded of a dataset, in words."""
    apart = {"images", "expected", "pixels_sha256", "folder"}  # a page is shared, a path is not
    words: dict[str, object] = {
        key.replace("_", " ").capitalize(): value
        for key, value in about.items()
        if value and isinstance(value, str | int | float) and key not in apart
    }
    images, expected = about.get("images"), about.get("expected")
    count = len(images) if isinstance(images, Mapping) else images
    if count:
        words["Images"] = f"{count} of {expected}" if expected else count
    if about.get("pixels_sha256"):
        words["Sha256 of pixels"] = _code(about["pixels_sha256"])
    return words
