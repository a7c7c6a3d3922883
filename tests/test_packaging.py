"""The wheel: built, installed elsewhere, run from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from bench import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_wheel_holds_plug_ins_and_manifests(wheel: Path):
    """Codecs and datasets come along as files of the package."""
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {
        "bench/codecs/jpeg.py",
        "bench/codecs/bpg/container.py",
        "bench/datasets/kodak.toml",
        "bench/py.typed",
        "bench/codecs/agvae/weights/base-gain-asym-mse.safetensors",
        "bench/codecs/agvae/weights/base-gain-asym-mse.tables.npz",
        "bench/codecs/agvae/weights/base-gain-asym-mse.json",
    } <= names
    assert not [name for name in names if name.startswith(("codecs/", "datasets/", "tests/"))]


def test_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path):
    """Installed away from the checkout it lists its codecs and measures the sample."""
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "--no-deps", "-q", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=empty,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(site) in run("-c", "import bench; print(bench.__file__)")
    assert "JPEG 4:2:0 8-bit" in run("-m", "bench", "list")
    run("-m", "bench", "all", "--dataset", "sample", "--codec", "jpeg", "--metric", "psnr")
    assert (empty / "results/run/tables").is_dir()


def test_version_stands_once():
    """pyproject, package and changelog name the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert __version__ == project["version"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_python_that_is_named_is_tested():
    """The versions that pyproject names are those that must pass in the workflow."""
    yaml = pytest.importorskip("yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]

    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    required = [
        str(step["with"]["python-version"])
        for step in jobs["everything"]["steps"]
        if "python-version" in step.get("with", {})
    ]
    rows = jobs["tests"]["strategy"]["matrix"]["include"]
    required += [row["python"] for row in rows if not row.get("untried")]

    assert named == required


def test_top_level_is_the_house():
    """No file or folder stands at the top that the design does not name."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    tops = {name.split("/")[0] for name in listed}

    assert tops <= {
        "bench", "codecs", "datasets", "results", "tests", "tox.ini", "pyproject.toml",
        "README.md", ".ci", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".github",
        ".gitignore", ".gitattributes", "action.yml", ".pre-commit-hooks.yaml", "docs",
        ".pre-commit-config.yaml", "CITATION.cff", "SECURITY.md",
    }  # fmt: skip
