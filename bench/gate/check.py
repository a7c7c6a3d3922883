"""The whole comparison of today's rows with a baseline: verdicts, exit code, what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.errors import UsageError
from bench.gate import environment
from bench.gate.cells import INCOMPARABLE, NO_FILE, Change, drifted_scores
from bench.gate.cells import compare as compare_cell
from bench.gate.curves import CurveResult, judge
from bench.gate.environment import Difference
from bench.gate.images import PASSING, Verdict
from bench.gate.rows import Locked, short
from bench.gate.speed import SpeedResult
from bench.gate.tolerance import Tolerances

OK, REGRESSED, COULD_NOT_RUN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Report:
    """What the gate found.

    Attributes
    ----------
    baseline, now
        What was compared.
    curves
        One verdict per dataset and curve of the baseline.
    differences
        Everything that differs between the two environments.
    drifted
        Column -> proof that its metric itself changed.
    speed
        Ratios against the baseline's, where measured.
    allow_environment
        Whether a changed library excuses what it does.
    speed_fail
        Whether a lower speed is a failure.
    warnings
        What a reader must know of the gate itself: tolerances that can hide anything.
    """

    baseline: Locked
    now: Locked
    curves: Sequence[CurveResult]
    differences: Sequence[Difference] = ()
    drifted: Mapping[str, str] = field(default_factory=dict)
    speed: Sequence[SpeedResult] = ()
    allow_environment: bool = False
    speed_fail: bool = False
    warnings: Sequence[str] = ()

    def fails(self, result: CurveResult) -> bool:
        """Return whether a curve's verdict is a regression."""
        if result.verdict == Verdict.ENVIRONMENT:
            return not self.allow_environment or bool(result.beyond)
        return result.verdict not in PASSING and result.verdict != Verdict.NOT_COMPARABLE

    def unknown(self, result: CurveResult) -> bool:
        """Return whether of a curve, or of a part of it, nothing can be said."""
        unknown = result.incomplete or result.verdict == Verdict.NOT_COMPARABLE
        return unknown and not self.fails(result)

    @property
    def regressed(self) -> list[CurveResult]:
        """The curves that fail the gate."""
        return [result for result in self.curves if self.fails(result)]

    @property
    def incomparable(self) -> list[CurveResult]:
        """The curves of which, or of a part of which, nothing can be said."""
        return [result for result in self.curves if self.unknown(result)]

    @property
    def counts(self) -> dict[str, int]:
        """What became of the cells -> how many, the most frequent first."""
        return dict(Counter(str(c.change) for r in self.curves for c in r.cells).most_common())

    @property
    def lockable(self) -> bool:
        """Whether locking today's rows is an answer: they differ, and every cell has a file."""
        changes = {cell.change for result in self.curves for cell in result.cells}
        differ = any(result.verdict != Verdict.IDENTICAL for result in self.curves)
        return differ and not changes & (INCOMPARABLE | NO_FILE | {Change.STILL_FAILS})

    @property
    def slower(self) -> list[SpeedResult]:
        """The codecs that take longer than the baseline allows."""
        return [result for result in self.speed if result.slower]

    @property
    def exit_code(self) -> int:
        """0: nothing is worse; 1: regressed; 2: could not tell."""
        if self.regressed or (self.speed_fail and self.slower):
            return REGRESSED
        return COULD_NOT_RUN if self.incomparable or not self.curves else OK

    def with_notes(self, notes: Mapping[tuple[str, str], Sequence[str]]) -> Report:
        """Return a copy with more notes by (dataset, curve)."""
        curves = [r.with_notes(*notes.get((r.dataset, r.curve), ())) for r in self.curves]
        return replace(self, curves=curves)


def compare(
    baseline: Locked,
    now: Locked,
    tolerances: Tolerances,
    *,
    lacking: Mapping[tuple[str, str], str] | None = None,
    allow_environment: bool = False,
) -> Report:
    """Compare every cell of ``baseline`` with the same one of ``now``.

    Parameters
    ----------
    baseline, now
        Rows, environments, ladders.
    tolerances
        What may change.
    lacking
        (codec, setting or empty) -> why it could not be measured.
    allow_environment
        Whether a changed library excuses what it does.

    Raises
    ------
    UsageError
        If there is nothing to compare: no rows, or no scores.
    """
    if not (baseline.rows and baseline.columns):
        missing = "scores" if baseline.rows else "rows"
        raise UsageError(f"the baseline {baseline.source} has no {missing} to compare")
    differences = environment.differences(baseline.environment, now.environment)
    drifted = drifted_scores(baseline.rows, now.rows, baseline.columns, differences)
    curves = [
        _curve(dataset, curve, baseline, now, tolerances, differences, drifted, lacking or {})
        for dataset, curve in baseline.curves()
    ]
    return Report(
        baseline,
        now,
        curves,
        differences,
        drifted,
        allow_environment=allow_environment,
        warnings=tolerances.wide(row.codec for row in baseline.rows.values()),
    )


def _curve(  # noqa: PLR0917 - the parts of one comparison
    dataset: str,
    curve: str,
    baseline: Locked,
    now: Locked,
    tolerances: Tolerances,
    differences: Sequence[Difference],
    drifted: Mapping[str, str],
    lacking: Mapping[tuple[str, str], str],
) -> CurveResult:
    rows = baseline.curves()[dataset, curve]
    codec = rows[0].codec
    tolerance = tolerances.of(codec)
    cells = [
        compare_cell(
            row,
            now.rows.get(row.key),
            tolerance,
            baseline.columns,
            drifted,
            lacking.get((codec, ""), lacking.get((codec, row.setting), "")),
        )
        for row in rows
    ]
    causes = environment.concerning(differences, codec, (*tolerance.libraries, *tolerance.listed))
    versions = {c.after.version for c in cells if c.after} - {r.version for r in rows}
    if versions and not any(d.kind == "codec" and d.name == codec for d in causes):
        causes = [Difference("codec", codec, rows[0].version, ", ".join(versions)), *causes]
    ladder_note = _ladder_note(baseline.ladders.get(curve, ()), now.ladders.get(curve, ()))
    return judge(
        cells,
        tolerance,
        baseline.columns,
        curve=curve,
        drifted=drifted,
        causes=causes,
        notes=[*drifted.values(), *ladder_note],
        ladder_changed=bool(ladder_note),
    )


def _ladder_note(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Say how the codec's own operating points changed, if they did."""
    if not before or not after or tuple(before) == tuple(after):
        return []
    every = [*before, *after]
    old, new = (" | ".join(short(s, every) for s in ladder) for ladder in (before, after))
    gone = len(set(before) - set(after))
    return [f"the ladder changed, {gone} of {len(before)} rungs are gone: {old} -> {new}"]
