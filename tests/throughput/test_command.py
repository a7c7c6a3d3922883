"""``bench throughput`` as a user meets it: real codecs in real processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench import cli, image
from bench.cli import throughput as command
from bench.errors import CodecError, UsageError
from bench.image import Image
from bench.measurement import provenance, results
from bench.throughput import idle_check
from bench.throughput.worker import Job
from bench.throughput.worker_pool import Lanes, WorkerPool

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def main(monkeypatch, capsys):
    """Return a function that runs the command in this process: words -> (exit code, stderr)."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["bench", "throughput", *map(str, words)])
        with pytest.raises(SystemExit) as raised:
            cli.main()
        return int(raised.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.slow
def test_real_codecs(photo: Image, tmp_path: Path, run_bench: Bench):
    """Both directions and every phase of a classical and a learned codec, files that parse."""
    (tmp_path / "in").mkdir()
    image.save(photo[100:164, 100:196], tmp_path / "in" / "eye.png")
    words = ["-d", f"folder:{tmp_path / 'in'}", "-c", "jpeg", "-c", "agvae"]
    words += ["--threads", "all", "--batch", "1,2", "--repeats", 2, "--allow-busy"]
    said = run_bench("throughput", *words, "--out", tmp_path / "out").stdout
    table = pd.read_csv(tmp_path / "out" / "throughput.csv", keep_default_na=False)
    whole = table[table.direction == table.phase]
    calls = whole[whole.direction != "start"].set_index(["codec", "batch", "direction"])
    cores = provenance.cpu_count()

    assert {("jpeg", 1), ("agvae", 1), ("agvae", 2)} == {key[:2] for key in calls.index}
    assert (calls.mp_per_s.astype(float) > 0).all()
    assert cores == calls.images["jpeg", 1, "encode"]
    assert 2 == calls.images["agvae", 2, "decode"]
    assert calls.megapixels["agvae", 2, "decode"] == pytest.approx(2 * 64 * 96 / 1e6)
    assert (calls.peak_host_bytes.astype(float) > 10_000_000).all()
    assert {""} == set(table.energy_j_per_mp) == set(table.peak_device_bytes)
    phases = set(table[(table.codec == "agvae") & (table.direction == "decode")].phase)
    assert {"load", "entropy model", "entropy coding", "synthesis", "other", "write"} < phases
    assert {"python", "import", "first encode", "first decode"} < set(table.phase)
    assert (tmp_path / "out" / "throughput.md").read_text() in said
    assert "refinement" not in said
    assert not list((tmp_path / "out").glob(".files-*"))
    assert 4 == len(list((tmp_path / "out" / "plots").iterdir()))


@pytest.mark.slow
def test_a_patient_encoder(photo: Image, tmp_path: Path, run_bench: Bench):
    """What refining takes is a phase of its own, nearly all of the call."""
    (tmp_path / "in").mkdir()
    image.save(photo[100:164, 100:196], tmp_path / "in" / "eye.png")
    words = ["-d", f"folder:{tmp_path / 'in'}", "-c", "agvae-refined:refine=8", "--threads", 1]
    words += ["--repeats", 2, "--allow-busy", "--out", tmp_path / "out"]
    said = run_bench("throughput", *words).stdout
    table = pd.read_csv(tmp_path / "out" / "throughput.csv")
    encode = table[table.direction == "encode"].set_index("phase").ms_per_image

    assert "| refinement |" in said
    assert 0.5 * encode["encode"] < encode["refinement"] < encode["encode"]


def test_failures_are_told(crops: Path, tmp_path: Path, plugin: Path, run_bench: Bench):
    """A codec that kills its process or raises costs its own rows; alone, it is exit code 2."""
    words = ["-d", f"folder:{crops}", "--images", 1, "--repeats", 1, "--threads", 1]
    words += ["--allow-busy", "--out", tmp_path / "out", "-c"]
    alone = run_bench("throughput", *words, "faulty:fault=crash", check=False)
    told = run_bench("throughput", *words, "faulty:fault=raise", "-c", "null")
    content = json.loads((tmp_path / "out" / "throughput.json").read_text())

    assert 2 == alone.returncode
    assert "its process died (signal 9" in alone.stderr
    assert alone.stderr.splitlines()[-1].startswith("bench: nothing could be measured")
    assert {"null"} == {row["codec"] for row in content["rows"]}
    for text in (told.stderr, told.stdout, content["failed"][0]["reason"]):
        assert "a bug in a plug-in" in text


def test_busy_machine_is_refused(main, crops: Path, tmp_path: Path, monkeypatch):
    """One line, exit code 2, nothing written."""
    monkeypatch.setattr(idle_check, "load", lambda _: "other processes use 1.00 of 2 cores")
    code, said = main("-d", f"folder:{crops}", "-c", "null", "--out", tmp_path / "out")

    assert 2 == code
    assert said.splitlines()[-1].startswith("bench: the machine is busy: other processes use 1.00")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--batch", "0"], "--batch wants whole numbers"),
        (["--threads", "many"], "--threads wants whole numbers"),
        (["--precision", "float16"], "--precision float16: null cannot compute in it"),
        (["--precision", "bfloat16"], "--precision bfloat16: null cannot compute in it"),
        (["-c", "jepg"], "Did you mean jpeg"),
        (["--device", "tpu"], "unknown device"),
        (["--quality", "high"], "--quality wants numbers"),
        (["--image", "crop9"], "has no image 'crop9'"),
        (["--results", "nowhere"], "nowhere"),
    ],
)
def test_bad_options(main, crops: Path, words: list[str], wanted: str):
    """Refused in one line before anything is measured."""
    code, said = main("-d", f"folder:{crops}", "-c", "null", *words)

    assert 2 == code
    assert wanted in said
    assert 1 == len(said.strip().splitlines())


def test_the_codecs_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those of --results are measured where none is named; of files, only what is known here."""
    measured = ["avif:speed=4", "mine"]
    rows = pd.DataFrame({"codec": measured})
    monkeypatch.setattr(results, "load_results", lambda _: SimpleNamespace(rows=rows))

    assert (["avif:speed=4"], ["mine"]) == command._words(tmp_path)
    rows = rows[1:]
    with pytest.raises(UsageError, match=r"known here: mine\. Name codecs of files"):
        command._words(tmp_path)


def test_workers_keep_to_their_cores(crops: Path, tmp_path: Path):
    """Two workers answer as one pool: sums, the whole time, and a codec's error as ours."""
    if provenance.cpu_count() < 2:
        pytest.skip("needs two cores")
    job = Job("null", "{}", "cpu", "", (str(crops / "crop0.png"),), (), str(tmp_path))
    with WorkerPool(job, Lanes(2, 1)) as pool:
        start = pool.start()
        pool.mark()
        passed = pool.run("encode", 1, loops=3)
        used = pool.used()

        assert ["python", "import", "first encode", "first decode"] == list(start)
        assert (2, 2 * 170 * 180 / 1e6) == pool.size(1)
        assert 3 == passed.loops
        assert used.cpu_s < 5
        assert used.energy_j is None
        with pytest.raises(CodecError, match="unexpected ZeroDivisionError"):
            pool.run("encode", 0)
