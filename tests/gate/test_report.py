"""The report in its four forms says the same, and breaks in none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.codecs.webp import WebP
from bench.gate import check, tolerance
from bench.gate.check import Report
from bench.gate.junit import to_xml
from bench.gate.report import headline, lines, markdown, to_json
from bench.gate.rows import by_key
from bench.gate.speed import SpeedResult


@pytest.fixture(scope="module")
def regressed(gate, locked) -> Report:
    """WebP with its least effort; JPEG is as it was."""
    with pytest.MonkeyPatch.context() as patch:
        encode = WebP.encode
        patch.setattr(WebP, "encode", lambda self, i, s: encode(self, i, s.replace(method=0)))
        return gate.check(locked)


def compared(locked, rows, **more) -> Report:
    """Compare ``locked`` with a version of itself."""
    now = replace(locked, rows=by_key(rows))
    return check.compare(locked, now, tolerance.load(locked_path()), **more)


def locked_path():
    """Return a path that has no tolerances beside it."""
    from pathlib import Path

    return Path(__file__)


def test_every_form_names_codec_image_point_and_amount(regressed: Report):
    """Codec, image, setting, bytes before and after stand in text, Markdown, XML and JSON."""
    cell = next(r for r in regressed.curves if r.curve == "webp").changed[0]
    text, page, xml = "\n".join(lines(regressed)), markdown(regressed), to_xml(regressed)
    data = json.loads(to_json(regressed))

    for form in (text, page, xml):
        assert "webp" in form
        assert cell.before.image in form
        assert "quality=" in form
        assert str(cell.before.size_bytes) in form
        assert str(cell.after.size_bytes) in form
    assert headline(regressed) == "REGRESSED: 1 of 2 curves (webp)"
    assert 1 == data["exit_code"]
    assert ["identical", "worse"] == [curve["verdict"] for curve in data["curves"]]


def test_markdown_is_a_table_a_page_can_show(regressed: Report):
    """Every table has as many cells in each line as in its head."""
    blocks = [b for b in markdown(regressed).split("\n\n") if b.startswith("|")]

    assert 2 <= len(blocks)
    for block in blocks:
        rows = [row for row in block.splitlines() if row.startswith("|")]
        assert 1 == len({row.replace("\\|", "").count("|") for row in rows})


def test_junit_counts(regressed: Report):
    """A suite per dataset, a test per curve, a failure where the gate fails."""
    (suite,) = ET.fromstring(to_xml(regressed))

    assert ("2", "1", "0") == tuple(suite.get(k) for k in ("tests", "failures", "errors"))
    assert ["jpeg", "webp"] == [t.get("name") for t in suite.iter("testcase")]
    assert "WORSE" == suite.find("testcase/failure").get("type")


def test_junit_survives_any_error_text(locked):
    """An error text with characters that XML has no way to write does not break it."""
    bad = "bad \x00\x1b <&> \ud800"
    rows = [replace(r, error=bad, size_bytes=None) for r in locked.rows.values()]
    found = ET.fromstring(to_xml(compared(locked, rows)))

    assert 2 == len(found.findall(".//failure"))


def test_missing_codec_cannot_pass(locked):
    """A codec that cannot be measured is not comparable, with its reason: exit code 2, not 0."""
    rows = [r for r in locked.rows.values() if r.codec == "jpeg"]
    report = compared(locked, rows, lacking={("webp", ""): "codec webp is unavailable: no libwebp"})

    assert 2 == report.exit_code
    assert ["webp"] == [r.curve for r in report.incomparable]
    assert "no libwebp" in markdown(report)
    assert 1 == len(ET.fromstring(to_xml(report)).findall(".//error"))


def test_missing_image_cannot_pass(locked):
    """Identical where measured is not identical: what was not measured is counted."""
    rows = [r for r in locked.rows.values() if r.image != "crop1.png"]
    report = compared(locked, rows)

    assert 2 == report.exit_code
    assert any("12 of 18 cells compared" in line for line in lines(report))


def test_other_pixels_are_another_picture(locked):
    """Rows of an image of the same name and other pixels are never compared."""
    rows = [replace(r, pixels_sha256="00", size_bytes=1) for r in locked.rows.values()]
    report = compared(locked, rows)

    assert 2 == report.exit_code
    assert "another picture" in markdown(report) or "pixels are others" in markdown(report)


def test_regression_outranks_what_is_missing(locked):
    """One curve worse and one missing: exit code 1."""
    rows = [
        replace(r, bitstream_sha256="x", decoded_sha256="", size_bytes=2 * r.size_bytes)
        for r in locked.rows.values()
        if r.codec == "jpeg"
    ]

    assert 1 == compared(locked, rows).exit_code


def test_speed_is_soft_unless_asked_to_be_hard(regressed: Report, locked):
    """A slower codec is told; it decides the exit code only with speed_fail."""
    slow = [SpeedResult("webp", "encode", 1.0, 3.0, 0.02, 1.3)]
    soft = replace(compared(locked, locked.rows.values()), speed=slow)
    hard = replace(soft, speed_fail=True)

    assert (0, 1) == (soft.exit_code, hard.exit_code)
    assert any("SLOWER" in line for line in lines(soft))
    assert "REGRESSED in speed: webp encode" == headline(hard)
    assert 1 == len(ET.fromstring(to_xml(hard)).findall(".//failure"))
    assert 0 == len(ET.fromstring(to_xml(soft)).findall(".//failure"))
