"""A report of the gate as JUnit XML: a suite per dataset, a test per curve."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from bench.gate.check import Report
from bench.gate.curves import CurveResult, Verdict
from bench.gate.report import describe

# XML 1.0 has no way to write these, not even escaped; an encoder's error text may hold them.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(report: Report) -> str:
    """Return the XML; regressions are failures, what could not be compared is an error."""
    root = ET.Element("testsuites", name="bench check")
    for dataset in dict.fromkeys(result.dataset for result in report.curves):
        results = [r for r in report.curves if r.dataset == dataset]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"rate-distortion on {_legal(dataset)}",
            tests=str(len(results)),
            failures=str(sum(report.fails(r) for r in results)),
            errors=str(sum(r.verdict == Verdict.NOT_COMPARABLE for r in results)),
            skipped="0",
        )
        if report.differences:
            properties = ET.SubElement(suite, "properties")
            for d in report.differences:
                ET.SubElement(properties, "property", name=_legal(d.name), value=_legal(str(d)))
        for result in results:
            _test(suite, report, result)
    if report.speed:
        _speed(root, report)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)


def _test(suite: ET.Element, report: Report, result: CurveResult) -> None:
    name = f"bench.check.{result.dataset}"
    test = ET.SubElement(
        suite, "testcase", classname=_legal(name), name=_legal(result.curve), time="0"
    )
    told = [*result.notes, *(describe(result, cell) for cell in result.changed)]
    if report.fails(result) or result.verdict == Verdict.NOT_COMPARABLE:
        kind = "failure" if report.fails(result) else "error"
        message = f"{result.verdict}: {told[0]}" if told else str(result.verdict)
        failure = ET.SubElement(test, kind, message=_legal(message), type=result.verdict.name)
        failure.text = _legal("\n".join([*told, *(f"environment: {d}" for d in result.causes)]))
    elif told:
        ET.SubElement(test, "system-out").text = _legal("\n".join([str(result.verdict), *told]))


def _speed(root: ET.Element, report: Report) -> None:
    """Add the speed as a suite; a lower one is a failure only where it was asked to be."""
    failures = len(report.slower) if report.speed_fail else 0
    suite = ET.SubElement(
        root,
        "testsuite",
        name="speed",
        tests=str(len(report.speed)),
        failures=str(failures),
        errors="0",
        skipped="0",
    )
    for s in report.speed:
        test = ET.SubElement(
            suite, "testcase", classname=f"bench.speed.{s.codec}", name=s.direction, time="0"
        )
        told = f"ratio {s.after:.3f}, locked {s.before}, factor {s.factor}, allowed {s.allowed:g}"
        tag = "failure" if s.slower and report.speed_fail else "system-out"
        element = ET.SubElement(test, tag)
        element.text = told
        if tag == "failure":
            element.set("message", told)
            element.set("type", "SLOWER")
