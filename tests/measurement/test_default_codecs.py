"""Which curves a run has when no codec is named: slow ones, unavailable ones, families."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import go

from bench import registry
from bench.errors import Unavailable
from bench.measurement import plan as plans
from bench.measurement.results import DATABASE, load_results
from bench.output.write import write

pytestmark = pytest.mark.usefixtures("one_in_flight")


def test_slow_curves_are_in_the_whole_default_run_alone():
    """AVIF stands in it at two speeds, once in a quick run, and in no other default choice."""

    def words(**more: bool) -> list[str]:
        curves, _ = plans.choose_curves(plans.Request((), points=1, **more))
        found = [registry.spec_name(curve.codec, curve.settings[0]) for curve in curves]
        return [word for word in found if word.startswith("avif")]

    assert ["avif", "avif:speed=4"] == words(more_curves=True)
    assert ["avif"] == words()


def test_a_codec_of_several_curves_is_unavailable_once(monkeypatch):
    """Its reason is told once, by the name that `bench list` knows."""
    from bench.codecs.avif import Avif

    def nothing(_self: object) -> None:
        raise Unavailable("no library")

    monkeypatch.setattr(Avif, "__init__", nothing)
    _, unavailable = plans.choose_curves(plans.Request((), points=1, more_curves=True))

    assert [("avif", "no library")] == [pair for pair in unavailable if "avif" in pair[0]]


def test_variants_are_a_family_unless_they_are_named(monkeypatch):
    """A run that names no codec sets them apart; a quick one, as the gate, leaves them out."""
    for name in ("webp", "jpeg"):
        monkeypatch.setattr(registry.discover()[name].cls, "family", "webp")

    def planned(*names: str, more: bool) -> plans.Plan:
        return plans.choose(plans.Request((), names, ["psnr"], points=1, more_curves=more))

    whole, quick, named = (
        planned(more=True),
        planned(more=False),
        planned("webp", "bpg", more=True),
    )

    assert {"jpeg", "webp"} == set(whole.families["webp"])
    assert ({}, {}) == (quick.families, named.families)
    assert not {"jpeg", "webp"} & {curve.codec.name for curve in quick.curves}
    assert ["webp", "bpg"] == [curve.codec.name for curve in named.curves]


def test_an_unavailable_family_is_told_in_one_line(monkeypatch):
    """Variants that lack the same weights have one reason, not one each."""

    def nothing(_self: object) -> None:
        raise Unavailable("no weights", "Make them.")

    for name in ("webp", "jpeg"):
        monkeypatch.setattr(registry.discover()[name].cls, "family", "webp")
        monkeypatch.setattr(registry.discover()[name].cls, "__init__", nothing)

    _, unavailable = plans.choose_curves(plans.Request((), points=1, more_curves=True))

    assert [("jpeg, webp", "no weights. Make them.")] == [
        pair for pair in unavailable if "webp" in pair[0]
    ]


def test_rows_of_families_stand_apart(small: Path, tmp_path: Path, monkeypatch):
    """Stored and read again they are beside the others, from the database as from rows.csv."""
    monkeypatch.setattr(registry.discover()["webp"].cls, "family", "webp")
    for name, found in registry.discover().items():
        if found.cls is not None and name not in ("jpeg", "webp"):
            monkeypatch.setattr(found.cls, "in_default_run", False)
    results = go(f"folder:{small}", codecs=[], points=1, out=tmp_path)
    write(results, plots=False)

    for _ in range(2):
        again = load_results(tmp_path)
        assert {"jpeg"} == set(again.rows["codec"])
        assert ["webp"] == list(again.families)
        assert {"webp"} == set(again.families["webp"]["codec"])
        assert {"jpeg", "webp"} == set(again.every_row["codec"]) == set(again.summary()["codec"])
        (tmp_path / DATABASE).unlink(missing_ok=True)
