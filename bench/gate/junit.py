"""A report of the gate as JUnit XML: a suite per dataset, a test per curve."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from bench.gate.check import Report
from bench.gate.curves import CurveResult
from bench.gate.images import Verdict
from bench.gate.report import cell_counts, describe, headline
from bench.gate.speed import SpeedResult
from bench.output.table_formats import plain_text


def to_xml(report: Report) -> str:
    """Return the XML; regressions are failures, what could not be compared is an error."""
    root = ET.Element("testsuites")
    for dataset in dict.fromkeys(result.dataset for result in report.curves):
        results = [r for r in report.curves if r.dataset == dataset]
        suite = _suite(
            root,
            f"rate-distortion on {dataset}",
            tests=len(results),
            failures=sum(report.fails(r) for r in results),
            errors=sum(report.unknown(r) for r in results),
        )
        properties = ET.SubElement(suite, "properties")
        told = [
            ("outcome", headline(report)),
            ("exit code", str(report.exit_code)),
            ("cells", cell_counts(report)),
            *(("warning", words) for words in report.warnings),
            *((d.name, str(d)) for d in report.differences),
        ]
        for name, value in told:
            ET.SubElement(properties, "property", name=plain_text(name), value=plain_text(value))
        for result in results:
            _test(suite, report, result)
    if report.speed:
        _speed(root, report)
    return _text(root)


def failure_xml(message: str) -> str:
    """Return the XML of a gate that came to no comparison: one test, one error."""
    root = ET.Element("testsuites")
    suite = _suite(root, "bench check", tests=1, failures=0, errors=1)
    test = ET.SubElement(suite, "testcase", classname="bench.check", name="run", time="0")
    ET.SubElement(test, "error", message=plain_text(message), type="COULD_NOT_RUN")
    return _text(root)


def _suite(root: ET.Element, name: str, *, tests: int, failures: int, errors: int) -> ET.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors}
    words = {"name": plain_text(name), "skipped": "0"} | {k: str(v) for k, v in counts.items()}
    return ET.SubElement(root, "testsuite", words)


def _text(root: ET.Element) -> str:
    """Return the document, its suites counted together."""
    root.set("name", "bench check")
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(plain_text(text) for text in texts)


def _test(suite: ET.Element, report: Report, result: CurveResult) -> None:
    name = plain_text(f"bench.check.{result.dataset}")
    test = ET.SubElement(suite, "testcase", classname=name, name=plain_text(result.curve), time="0")
    told = [*result.notes, *(describe(result, cell) for cell in result.changed)]
    if report.fails(result) or report.unknown(result):
        kind = "failure" if report.fails(result) else "error"
        verdict = result.verdict if report.fails(result) else Verdict.NOT_COMPARABLE
        message = ": ".join([str(verdict), *told[:1]])
        failure = ET.SubElement(test, kind, message=plain_text(message), type=verdict.name)
        failure.text = _lines([*told, *(f"environment: {d}" for d in result.causes)])
    elif told:
        ET.SubElement(test, "system-out").text = _lines([str(result.verdict), *told])


def _speed(root: ET.Element, report: Report) -> None:
    """Add the speed as a suite; a lower one is a failure only where it was asked to be."""
    failures = len(report.slower) if report.speed_fail else 0
    suite = _suite(root, "speed", tests=len(report.speed), failures=failures, errors=0)
    for s in report.speed:
        name = plain_text(f"bench.speed.{s.codec}")
        test = ET.SubElement(suite, "testcase", classname=name, name=s.direction, time="0")
        told = _speed_words(s)
        if s.slower and report.speed_fail:
            ET.SubElement(test, "failure", message=told, type="SLOWER").text = told
        else:
            ET.SubElement(test, "system-out").text = told


def _speed_words(s: SpeedResult) -> str:
    return f"ratio {s.after:.3f}, locked {s.before}, factor {s.factor}, allowed {s.allowed:g}"
