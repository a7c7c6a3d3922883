"""Whose file is it? Finds the setting that today gives the file of the baseline.

A quality that is off by a rung, or chroma formats that were switched, leave a trace that no number
shows as plainly: some other setting gives exactly the file that this one gave.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping

from bench import registry
from bench.codec import Codec, Scalar, Setting
from bench.dataset import open as datasets
from bench.gate.cells import Cell, Change
from bench.gate.check import Report
from bench.gate.curves import CurveResult
from bench.measurement.pool import LocalPool

_BUDGET_S = 20.0
_LIMIT_S = 90.0
_FILE_CHANGED = frozenset({Change.WORSE, Change.MOVED, Change.BETTER, Change.EQUAL})

Explain = Callable[[str, datasets.Item, Cell], list[str]]


def in_process(codec: str, item: datasets.Item, cell: Cell) -> list[str]:
    """Return what ``explain`` does, found in another process: this codec may do anything."""
    with LocalPool(1, _LIMIT_S) as pool:
        try:
            found: list[str] = pool.submit(explain, codec, item, cell).result()
            return found  # noqa: TRY300
        except Exception:  # noqa: BLE001 - the report says already what is wrong with it
            return []


def notes(
    report: Report,
    items: Mapping[tuple[str, str], datasets.Item],
    explained: Explain = in_process,
) -> Report:
    """Return the report with what is found for one changed cell of each curve that fails.

    Parameters
    ----------
    report
        Of rows that were measured here and now.
    items
        (dataset, image) -> where its pixels are.
    explained
        ``explain``, here or in another process.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for result in report.regressed:
        cell = _typical(result)
        item = items.get((result.dataset, cell.before.image)) if cell else None
        if cell is not None and item is not None:
            found[result.dataset, result.curve] = explained(result.codec, item, cell)
    return report.with_notes(found)


def _typical(result: CurveResult) -> Cell | None:
    """Return a changed cell in the middle of the curve, of a small image: many encodes follow."""
    changed = [
        cell
        for cell in result.cells
        if cell.change in _FILE_CHANGED and cell.after and cell.after.bitstream_sha256
    ]
    if not changed:
        return None
    first = min(changed, key=lambda cell: cell.before.width * cell.before.height)
    curve = [cell for cell in changed if cell.before.image == first.before.image]
    return sorted(curve, key=lambda cell: cell.before.bpp)[len(curve) // 2]


def explain(codec_name: str, item: datasets.Item, cell: Cell) -> list[str]:
    """Return which single change of the setting gives the baseline's file, or changes nothing.

    Parameters
    ----------
    codec_name
        Name of the codec, as it is today.
    item
        The cell's image.
    cell
        One whose file changed.
    """
    assert cell.after is not None
    codec, image = registry.create(codec_name), datasets.load_item(item)
    setting = Setting.from_json(cell.before.setting)
    told: list[str] = []
    started = time.perf_counter()
    for name, value in _neighbours(codec, setting):
        if time.perf_counter() - started > _BUDGET_S:
            break
        try:
            other = registry.complete(codec, setting.replace(**{name: value}))
            digest = hashlib.sha256(codec.encode(image, other)).hexdigest()
        except (Exception, SystemExit):  # noqa: BLE001, S112 - it may raise anything
            continue
        was = f"{name}={setting[name]}"
        if digest == cell.before.bitstream_sha256:
            told.append(
                f"the setting is another: today {name}={other[name]} gives the file "
                f"that {was} gave in the baseline ({cell.before.image})"
            )
        elif digest == cell.after.bitstream_sha256 and name != registry.rate_name(codec):
            told.append(
                f"{name} has no effect: {name}={value} and {was} give the same file "
                f"({cell.before.image})"
            )
    return told


def _neighbours(codec: Codec, setting: Setting) -> Iterator[tuple[str, Scalar]]:
    """Yield (parameter, other value): the other choices, then the other rungs, nearest first."""
    rate = registry.rate_name(codec)
    for name, parameter in registry.parameters(codec).items():
        if name not in setting or name == rate:
            continue
        choices: tuple[Scalar, ...] = parameter.choices
        if isinstance(parameter.default, bool):
            choices = (True, False)
        yield from ((name, value) for value in choices if value != setting[name])
    if isinstance(setting.get(rate), str):  # the name of a checkpoint
        yield from ((rate, s[rate]) for s in codec.ladder() if s[rate] != setting[rate])
    elif rate in setting:
        here = float(setting[rate])
        rungs = {s[rate] for s in codec.ladder()} | {here - 1, here + 1}
        ordered = sorted(rungs, key=lambda value: abs(float(value) - here))
        yield from ((rate, value) for value in ordered if float(value) != here)
