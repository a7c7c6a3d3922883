"""The cause of a change: what differs between two environments, and what a library may do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import bench
from bench import metrics, registry
from bench.codecs.webp import WebP
from bench.errors import UsageError
from bench.gate import environment, tolerance
from bench.gate.environment import Difference, differences
from bench.gate.images import Verdict
from bench.gate.report import headline, lines, markdown
from bench.gate.rows import Locked, by_key

BEFORE = {
    "cpu": "One",
    "cpu_flags": ["avx", "avx2"],
    "commit": "aaa",
    "versions": {"pillow": "11.0", "torch": "2.6", "numpy": "1.26"},
    "codecs": {"agvae": {"version": "AG-VAE 1", "weights_sha256": "11"}},
    "metrics": {"psnr": {"version": "1", "probe": 40.0}},
}


def relocked(locked: Locked, codec: str, version: str) -> Locked:
    """Return a baseline that says it was made by another version of a codec's library."""
    rows = [replace(r, version=version) if r.codec == codec else r for r in locked.rows.values()]
    codecs = locked.environment["codecs"]
    record = {**locked.environment, "codecs": {**codecs, codec: {"version": version}}}
    return replace(locked, rows=by_key(rows), environment=record)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"versions": {**BEFORE["versions"], "pillow": "12.1"}}, ["pillow 11.0 -> 12.1"]),
        ({"versions": {"torch": "2.6", "numpy": "1.26"}}, ["pillow 11.0 -> absent"]),
        ({"cpu_flags": ["avx", "avx512f"]}, ["CPU flags with avx2 -> with avx512f"]),
        ({"commit": "bbb"}, ["commit aaa -> bbb"]),
        (
            {"codecs": {"agvae": {"version": "AG-VAE 1", "weights_sha256": "22"}}},
            ["agvae weights sha256 11 -> 22"],
        ),
        ({"metrics": {"psnr": {"version": "2", "probe": 40.0}}}, ["psnr 1 -> 2"]),
        ({"metrics": {"psnr": {"version": "1", "probe": 40.00005}}}, []),
        ({"metrics": {"psnr": {"version": "1", "probe": 40.03}}}, ["psnr probe 40.0 -> 40.03"]),
        ({"versions": None, "codecs": None, "metrics": ["psnr"]}, []),
    ],
)
def test_differences_are_named(change: dict, expected: list[str]):
    """Each thing that is not as it was is told once; what one side does not know is left out."""
    after = {k: v for k, v in {**BEFORE, **change}.items() if v is not None}

    assert expected == [str(d) for d in differences(BEFORE, after)]


def test_record_is_stable_and_complete():
    """Two records of one process are equal; versions, CPU, probes and code are in it."""
    arguments = [registry.create("jpeg")], [metrics.create("psnr"), metrics.create("ms_ssim")]
    first, second = environment.record(*arguments), environment.record(*arguments)

    assert first == second
    assert {"versions", "cpu", "cpu_flags", "codecs", "metrics"} <= first.keys()
    assert 20 < first["metrics"]["psnr"]["probe"] < 60
    assert 0.9 < first["metrics"]["ms_ssim"]["probe"] < 1


def test_only_what_concerns_a_codec():
    """A codec is told of its own libraries, weights and CPU, not of others'."""
    found = [
        Difference("library", "pillow", "1", "2"),
        Difference("library", "torch", "1", "2"),
        Difference("cpu", "CPU flags", "with avx", "with avx2"),
        Difference("cpu", "gpu", "none", "H100"),
        Difference("codec", "jpeg", "a", "b"),
        Difference("weights", "agvae weights sha256", "a", "b"),
        Difference("commit", "commit", "a", "b"),
    ]

    def names(codec: str, libraries: list[str]) -> list[str]:
        return [d.name for d in environment.concerning(found, codec, libraries)]

    assert ["pillow", "jpeg"] == names("jpeg", ["pillow"])
    assert ["torch", "CPU flags", "agvae weights sha256"] == names("agvae", ["torch", "cpu"])


def test_library_that_makes_it_worse_is_named_as_the_cause(gate, locked, monkeypatch):
    """Another library and a worse curve: environment, not your commit; it fails unless allowed."""
    old = relocked(locked, "webp", "libwebp 1.5.0")
    encode = WebP.encode
    monkeypatch.setattr(WebP, "encode", lambda self, i, s: encode(self, i, s.replace(method=3)))
    report, allowed = gate.check(old), gate.check(old, allow_environment=True)
    (result,) = report.regressed

    assert Verdict.ENVIRONMENT == result.verdict
    assert result.underlying in {Verdict.WORSE, Verdict.MOVED}
    assert (1, 0) == (report.exit_code, allowed.exit_code)
    assert any("libwebp 1.5.0 -> libwebp" in line for line in lines(report))
    assert "bench check --update --baseline" in markdown(report)
    assert headline(allowed).startswith("OK")


def test_another_library_excuses_no_more_than_its_limits(gate, locked, monkeypatch):
    """Files 20 to 40 % larger are beyond what `--allow-environment` excuses, and that is said."""
    old = relocked(locked, "webp", "libwebp 1.5.0")
    encode = WebP.encode
    monkeypatch.setattr(WebP, "encode", lambda self, i, s: encode(self, i, s.replace(method=0)))
    report = gate.check(old, allow_environment=True)
    (result,) = report.regressed

    assert 1 == report.exit_code
    assert Verdict.ENVIRONMENT == result.verdict
    assert any(n.startswith("more than another environment may do: ") for n in result.notes)


def test_another_library_excuses_no_missing_file(gate, locked, monkeypatch):
    """A codec that gives no file fails, whatever its version says and whatever is allowed."""

    def fails(self, image, setting):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(WebP, "encode", fails)
    report = gate.check(relocked(locked, "webp", "libwebp 1.5.0"), allow_environment=True)

    assert 1 == report.exit_code
    assert "no file" in "".join(lines(report))
    assert not any("--update" in line for line in lines(report))


def test_library_that_changes_nothing_passes_with_a_word(gate, locked):
    """Another version with the same bytes passes, and the difference stands in the report."""
    report = gate.check(relocked(locked, "webp", "libwebp 1.5.0"))

    assert 0 == report.exit_code
    assert any("libwebp 1.5.0" in line for line in lines(report))


def test_own_version_excuses_nothing(gate, locked, monkeypatch, tmp_path):
    """Of a codec whose version is its weights, a new version and a worse curve is worse."""
    old = relocked(locked, "webp", "libwebp 1.5.0")
    (gate.folder / "tolerances.toml").write_text("[codec.webp]\nown = true\nlibraries = []\n")
    encode = WebP.encode
    monkeypatch.setattr(WebP, "encode", lambda self, i, s: encode(self, i, s.replace(method=0)))
    try:
        (result,) = gate.check(old, allow_environment=True).regressed
    finally:
        (gate.folder / "tolerances.toml").unlink()

    assert Verdict.WORSE == result.verdict
    assert ["webp libwebp 1.5.0"] == [str(c).split(" ->")[0] for c in result.causes]


def test_own_commit_is_not_excused(gate, locked, monkeypatch):
    """With the same library a worse curve is worse, whatever other library changed."""
    versions = {**locked.environment["versions"], "torch": "0.1"}
    old = replace(locked, environment={**locked.environment, "versions": versions})
    encode = WebP.encode
    monkeypatch.setattr(WebP, "encode", lambda self, i, s: encode(self, i, s.replace(method=0)))
    (result,) = gate.check(old, allow_environment=True).regressed

    assert Verdict.WORSE == result.verdict


def test_tolerances_are_overridden_key_by_key(tmp_path):
    """A file beside the baseline changes what it names; the longest pattern wins."""
    (tmp_path / "tolerances.toml").write_text(
        '[default]\npoint_db = 0.3\n[codec."agvae*"]\npsnr_db = 0.5\n'
        "[codec.agvae-small]\npsnr_db = 0.7\n[speed]\nsame_cpu = 9\n"
    )
    found = tolerance.load(tmp_path / "base.csv")

    assert (0.3, 0.01, 0.0) == (
        found.of("jpeg").point_db,
        found.of("jpeg").psnr_db,
        found.of("jpeg").size_percent,
    )
    assert (0.5, 0.05) == (found.of("agvae").psnr_db, found.of("agvae").size_percent)
    assert 0.7 == found.of("agvae-small").psnr_db
    assert 9 == found.same_cpu


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\nsize = 3\n", "unknown key 'size'"),
        ("[codec.jpeg]\npsnr_db = -1\n", "psnr_db must be a number from 0"),
        ("[default]\nlibraries = 'pillow'\n", "libraries must be a list"),
        ("[default]\nown = 1\n", "own must be true or false"),
        ("[defaults]\n", "unknown key 'defaults'"),
        ("nonsense", "tolerances.toml"),
    ],
)
def test_bad_tolerances_are_refused(text: str, words: str, tmp_path):
    """A misspelt key would be a tolerance that nobody has; it is refused."""
    (tmp_path / "tolerances.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        tolerance.load(tmp_path / "base.csv")


def test_program_hash_covers_all_code_and_the_machine(tmp_path, monkeypatch):
    """What another program or machine left in --out is not taken: any file and flag counts."""
    codecs, scored = [registry.create("jpeg")], [metrics.create("psnr")]
    first = environment.program_sha256(codecs, scored)
    again = environment.program_sha256(codecs, scored)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    other_flags = environment.program_sha256(codecs, scored)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr(environment.provenance, "cpu_name", lambda: "another CPU")
    other_machine = environment.program_sha256(codecs, scored)

    assert first == again
    assert 3 == len({first, other_flags, other_machine})

    root = Path(bench.__file__).parent
    walked: list[Path] = []
    monkeypatch.setattr(environment, "_folders_sha256", lambda found: walked.extend(found) or "")
    environment.code_sha256.__wrapped__()
    assert [root, root / "codecs", root / "datasets"] == walked


@pytest.mark.parametrize("name", ["a.py", "b/c/d.toml", "b/weights.bin", "page.html"])
def test_every_file_counts(name: str, tmp_path):
    """A byte of any file below a folder changes its hash."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for content in ("one", "two"):
        path.write_text(content)
        found.append(environment._folders_sha256([tmp_path]))

    assert found[0] != found[1]
