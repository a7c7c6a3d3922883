"""``bench check`` as a user and as a CI job meet it: exit codes, files, locking, continuing."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]
ONE = ("--jobs", "1")  # a second process costs more than it saves on sixteen small cells
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the baseline lies."""
    return tmp_path / "baseline" / "crops.csv"


def lock(run_bench: Bench, base: Path, crops: Path, *codecs: str) -> str:
    """Lock four rungs of some codecs on the crops."""
    chosen = [word for codec in codecs for word in ("--codec", codec)]
    words = ["--update", "--baseline", base, "--dataset", f"folder:{crops}", *chosen]
    return run_bench("check", *words, "--points", 4, *ONE, workers=False).stdout


def break_plugin(folder: Path) -> None:
    """Let the codec quantise one step coarser than it says, as a careless change would."""
    path = folder / "faulty.py"
    source = path.read_text()
    broken = source.replace("image // step)", "image // step) & 0xFE")
    assert broken != source
    path.write_text(broken)


def test_lock_check_break_and_lock_again(
    plugin: Path, crops: Path, base: Path, tmp_path: Path, run_bench: Bench
):
    """Locked: 0. A plug-in broken on disk: 1, with every report. Locked again: 0."""
    said = lock(run_bench, base, crops, "jpeg", "faulty")
    fine = run_bench("check", "--baseline", base, *ONE, workers=False)
    break_plugin(plugin)
    files = [tmp_path / "out" / name for name in ("gate.md", "gate.xml", "gate.json")]
    options = zip(("--markdown", "--junit", "--json"), files, strict=True)
    broken = run_bench(
        "check", *ONE, "-b", base, *(word for pair in options for word in pair), check=False
    )
    again = run_bench("check", "--update", "--baseline", base, *ONE, workers=False).stdout

    assert f"locked: {base}" in said
    assert fine.stdout.endswith("OK: 2 of 2 curves have identical bytes\n")
    assert 1 == broken.returncode
    assert "REGRESSED: 1 of 2 curves (faulty)" == broken.stdout.splitlines()[-1]
    assert "crop0.png step=32" in broken.stdout
    assert "bench check: REGRESSED" in files[0].read_text()
    assert 1 == len(ET.fromstring(files[1].read_text()).findall(".//failure"))
    assert 1 == json.loads(files[2].read_text())["exit_code"]
    assert again.index("faulty on ") < again.index("locked: ")  # the difference comes first
    assert run_bench("check", "-b", base, *ONE, workers=False).stdout.endswith("identical bytes\n")


def test_no_baseline_is_one_line_and_exit_code_2(base: Path, run_bench: Bench):
    """Without a baseline nothing is measured; the line says how to lock one."""
    done = run_bench("check", "--baseline", base, *ONE, check=False, workers=False)

    assert 2 == done.returncode
    assert f"bench check --update --baseline {base}" in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())


def test_codec_that_is_gone_cannot_pass(plugin: Path, crops: Path, base: Path, run_bench: Bench):
    """A codec of the baseline that cannot run is exit code 2, with its reason."""
    lock(run_bench, base, crops, "jpeg", "faulty")
    (plugin / "faulty.py").write_text("import a_library_that_is_not_there\n")
    done = run_bench("check", "--baseline", base, *ONE, check=False, workers=False)
    refused = run_bench("check", "--update", "--baseline", base, *ONE, check=False, workers=False)

    assert 2 == done.returncode
    assert "a_library_that_is_not_there" in done.stdout
    assert "COULD NOT COMPARE 1 of 2 curves (faulty)" in done.stdout
    assert 2 == refused.returncode


def test_against_stored_rows(crops: Path, base: Path, tmp_path: Path, run_bench: Bench):
    """The rows of `bench all` are compared without measuring; fewer of them are not enough."""
    lock(run_bench, base, crops, "jpeg", "webp")
    metrics = ["--metric", "psnr", "--metric", "ms_ssim"]
    words = ["all", "--dataset", f"folder:{crops}", "--codec", "jpeg", *metrics]
    run_bench(*words, "--points", 4, "--out", tmp_path / "run", *ONE, workers=False)
    both = run_bench("check", "-b", base, "--against", tmp_path / "run", check=False)
    one = run_bench("check", "-b", base, "--against", tmp_path / "run", "--codec", "jpeg")

    assert 2 == both.returncode
    assert "OK: 1 of 1 curves have identical bytes" in one.stdout


def test_continues_in_a_given_folder(
    plugin: Path, crops: Path, base: Path, tmp_path: Path, run_bench: Bench
):
    """With --out nothing is measured twice by the same program."""
    lock(run_bench, base, crops, "jpeg")
    command = ["check", "--baseline", base, "--out", tmp_path / "kept", *ONE]
    times = []
    for _ in range(2):
        run_bench(*command)
        (path,) = (tmp_path / "kept").glob("*/bench.sqlite")
        with closing(sqlite3.connect(path)) as db, db:
            times.append(db.execute("SELECT key, encode_s FROM encodings ORDER BY key").fetchall())

    assert 16 == len(times[0])
    assert times[0] == times[1]


@pytest.mark.slow
def test_speed_is_locked_and_compared(crops: Path, base: Path, run_bench: Bench):
    """--speed locks ratios and compares them; a slow day is a warning, never a failure."""
    lock(run_bench, base, crops, "jpeg")
    run_bench("check", "--update", "--speed", "--baseline", base, *ONE)
    record = json.loads(base.with_suffix(".json").read_text())
    done = run_bench("check", "--speed", "--baseline", base, *ONE)

    assert 0 < record["speed"]["jpeg"]["encode"]["ratio"] < 10
    assert {"setting", "megapixels", "encode", "decode"} == record["speed"]["jpeg"].keys()
    assert "speed: jpeg encode" in done.stdout
    assert "locked: x" in done.stdout


def test_github_action_runs_as_written(crops: Path, base: Path, tmp_path: Path, run_bench: Bench):
    """The action's script passes its inputs on, writes the summary, ends with the gate's code."""
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = next(s for s in action["runs"]["steps"] if s.get("id") == "check")
    lock(run_bench, base, crops, "jpeg")
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
    inputs = {name: spec.get("default", "") for name, spec in action["inputs"].items()}
    inputs |= {"baseline": str(base), "speed": "warn"}
    environment = {
        key: inputs[value.split("inputs.")[1].rstrip(" }")] for key, value in step["env"].items()
    }
    done = subprocess.run(
        ["bash", "-c", step["run"]],
        env={
            **os.environ,
            **environment,
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(outputs),
            "RUNNER_TEMP": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "bench check: OK" in summary.read_text()
    assert "exit-code=0" in outputs.read_text()
    assert "speed: jpeg encode" in done.stdout


def test_pre_commit_hook_names_a_real_command(run_bench: Bench):
    """The hook's entry is a command of bench, and its arguments are options of it."""
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    options = [word for word in hook.get("args", []) if word.startswith("--")]
    known = run_bench(*hook["entry"].split()[1:], "--help").stdout

    assert hook["entry"].startswith("bench check")
    assert options
    assert all(option in known for option in options)
