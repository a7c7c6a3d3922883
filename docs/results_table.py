"""Write the README's table from ``results/``: ``python docs/results_table.py``.

BD-rates are those of ``results/kodak``, speeds those of ``results/throughput``. A speed stands only
where that file names the same version of the same codec.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from bench import Codec, Setting, registry
from bench.metrics.columns import column

DIRECTIONS = ("encode", "decode")
ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- results: written by `python docs/results_table.py`, begin -->\n"
END = "<!-- results: end -->"


def table(results: Path = ROOT / "results") -> str:
    """Return the table and its caption as Markdown."""
    summary = pd.read_csv(results / "kodak" / "summary.csv").groupby("codec").first()
    deltas = pd.read_csv(results / "kodak" / "bd_rate.csv")
    deltas = deltas[deltas["method"] == "pchip"].set_index(["codec", "metric"])
    metrics = list(dict.fromkeys(deltas.index.get_level_values("metric")))
    anchor = str(deltas["anchor"].iloc[0])
    speeds = pd.read_csv(results / "throughput" / "throughput.csv")
    value = deltas["bd_rate_percent"].get
    alone = [name for name in summary.index if not _codec(name).family]  # variants have their own
    ranked = sorted(alone, key=lambda name: value((name, metrics[0]), 0.0))
    heads = ["codec", "format, effort", *(column(m).words for m in metrics)]
    heads += ["encode, MP/s", "decode, MP/s"]
    lines = ["| " + " | ".join(heads) + " |", "| --- | --- " + "| --: " * (len(heads) - 2) + "|"]
    for name in ranked:
        cells = [*_named(name, str(summary.loc[name, "setting"]))]
        cells += ["anchor" if name == anchor else _rate(deltas.loc[(name, m)]) for m in metrics]
        cells += [_speed(speeds, name, str(summary.loc[name, "label"]), d) for d in DIRECTIONS]
        lines.append("| " + " | ".join(cells) + " |")
    warned = [note for note in deltas["note"].dropna().unique() if note.startswith("warning: ")]
    end = "".join(f" \\* {note.removeprefix('warning: ').capitalize()}." for note in warned)
    caption = _caption(results, anchor, int(summary["images"].min())) + end
    return "\n".join([*lines, "", caption]) + "\n"


def _codec(spec: str) -> Codec:
    return registry.create(spec.partition(":")[0])


def _named(spec: str, setting: str) -> tuple[str, str]:
    """Return what a curve is called, and its chroma format, depth and effort."""
    codec = _codec(spec)
    one = Setting.from_json(setting)
    return codec.display or spec, ", ".join(filter(None, (codec.describe(one), codec.effort(one))))


def _rate(delta: pd.Series) -> str:
    """Return a BD-rate with its interval, in per cent."""
    value, low, high = (float(delta[c]) for c in ("bd_rate_percent", "ci_low", "ci_high"))
    if pd.isna(value):
        return "not computable"
    interval = "" if pd.isna(low) else f" [{low:+.1f}, {high:+.1f}]"
    star = " \\*" if str(delta["note"]).startswith("warning") else ""
    return f"{value:+.1f}{interval}{star}".replace("-", "\u2212")


def _speed(speeds: pd.DataFrame, spec: str, label: str, direction: str) -> str:
    """Return megapixels a second on one thread; a dash where it was not measured."""
    version = re.compile(r"\([^()]*\)$")
    same = speeds["label"].map(lambda text: version.findall(text) == version.findall(label))
    alone = (speeds["processes"] == 1) & (speeds["threads"] == 1) & (speeds["device"] == "cpu")
    whole = (speeds["direction"] == direction) & (speeds["phase"] == direction)
    found = speeds.loc[same & alone & whole & (speeds["codec"] == spec), "mp_per_s"]
    return f"{found.iloc[0]:.3g}" if len(found) else "\u2013"


def _caption(results: Path, anchor: str, images: int) -> str:
    """Return what the numbers are, and where and when they were measured."""
    run = json.loads((results / "kodak" / "run.json").read_text())
    timed = json.loads((results / "throughput" / "throughput.json").read_text())["record"]
    return (
        f"BD-rate against {_codec(anchor).display} in % (negative: fewer bits at equal "
        f"quality), Kodak, {images} images, with the 95 % interval over images; measured on "
        f"{run['date']}, commit {run['commit']}. "
        f"Speed on one thread of an {timed['cpu']}, {timed['date']}. How each was made: "
        "[results](results/README.md), [speed](docs/speed.md), [settings](docs/settings.md)."
    )


def filled(readme: str) -> str:
    """Return a README with the table of today between its marks."""
    head, rest = readme.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
