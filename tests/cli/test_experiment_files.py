"""What the file of an experiment may say: faults in one line, paths, options beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import FILE

from bench.measurement.experiment import Experiment, load_experiment
from bench.measurement.plan import Wanted

FAULTS = {
    'codec = ["jpeg"]': "unknown key codec. Did you mean codecs?",
    "codecs = 3": "codecs must be a list of codecs, found 3",
    "codecs = []": "codecs must be a list of codecs, found []",
    "codecs = [3]": "an entry of codecs must be text, found 3",
    'codecs = [{ codec = "jpeg", qualty = [1] }]': "unknown key codecs.qualty. Did you mean",
    "codecs = [{ quality = [1] }]": "codecs.codec must be text, found None",
    'codecs = [{ codec = "jpeg", quality = [true] }]': "codecs.quality must be a list of values",
    'codecs = ["jpge"]': "unknown codec 'jpge'. Did you mean jpeg?",
    'codecs = ["jpeg:qualty=3"]': "codec jpeg has no setting 'qualty'",
    'codecs = ["gone.py:Mine"]': "gone.py: no such file",
    'datasets = "kodak"': "datasets must be a list of text, found 'kodak'",
    'datasets = ["folder:gone"]': "gone is not a folder",
    'metrics = ["psnrr"]': "unknown metric 'psnrr'. Did you mean psnr?",
    "points = 0": "points must be a whole number from 1, found 0",
    "points = true": "points must be a whole number from 1, found True",
    'quality = "high"': "quality must be a list of values of the rate parameter, found 'high'",
    'anchor = "bgp"': "--anchor bgp is not among the codecs",
    'targets = ["psnr=30"]': "targets exclude points and quality",
    "device = 3": "device must be text, found 3",
    'device = "tpu"': "unknown device 'tpu'",
    '[images]\nkodak = ["x"]': "unknown key images.kodak. Known: folder:pictures",
    "[outputs]\nreprot = true": "unknown key outputs.reprot. Did you mean report?",
    '[outputs]\nreport = "yes"': "outputs.report must be true or false, found 'yes'",
    "[measured_with]\ncodecs = 3": "measured_with.codecs must be a table, found 3",
    "[measured_with]\ncodecs.jpeg = 3": "measured_with.codecs.jpeg must be text, found 3",
    "points = 4\npoints = 5": "Cannot overwrite a value",
    "points": "cannot read the experiment",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_are_one_line(measure, site: Path, text: str):
    """Exit code 2, the near word, and no folder of results."""
    key = text.partition(" ")[0]
    rest = "\n".join(line for line in FILE.splitlines() if not line.startswith(key))
    (site / "paper.toml").write_text(
        f"{text if '[' != text[0] else ''}\n{rest}\n{text if '[' == text[0] else ''}\n"
    )
    line = measure("paper.toml", "-o", "out").line

    assert FAULTS[text] in line
    assert not (site / "out").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.toml", "No such file"),
        ("kodak", "A dataset is named by --dataset"),
        ("pictures", "Is a directory"),
        ("latin.toml", "codec can't decode"),
        ("cjpeg.toml", "is a codec, no experiment. Write --codec"),
    ],
)
def test_files_that_are_none(bench, site: Path, name: str, words: str):
    """What is no experiment is refused by what it is."""
    (site / "latin.toml").write_bytes(b'anchor = "\xe9"')
    (site / "cjpeg.toml").write_text('encode = "cjpeg {input}"')

    assert words in bench("all", name).line


def test_paths_are_of_the_files_folder(site: Path):
    """Relative ones, of datasets, their images, codecs, metrics and folders; absolute ones stay."""
    (site / "sub").mkdir()
    (site / "sub" / "x.toml").write_bytes(
        b'\xef\xbb\xbfdatasets = ["folder:../pictures", "folder:/data", "kodak"]\n'
        b'codecs = ["mine.py:Mine:step=8", "./c.toml", "jpeg:subsampling=4:2:0"]\n'
        b'metrics = ["psnr", "m.py:M", "cmd:x=/bin/x {reference} {decoded}"]\n'
        b'data_dir = "data"\nout = "../res"\n[images]\n"folder:../pictures" = ["0.png"]\n'
    )
    found = load_experiment("sub/x.toml")

    assert ("folder:pictures", "folder:/data", "kodak") == found.datasets
    assert {"folder:pictures": ("0.png",)} == found.images
    assert ("sub/mine.py:Mine:step=8", "sub/c.toml", "jpeg:subsampling=4:2:0") == found.codecs
    assert ("psnr", "sub/m.py:M", "cmd:x=/bin/x {reference} {decoded}") == found.metrics
    assert ("sub/data", "res") == (found.data_dir, found.out)


def test_options_replace_what_they_name():
    """A typed quality stands for that of every codec; typed datasets forget the file's images."""
    told = {"codecs": {"a": "1"}, "pictures": ["x"]}
    found = Experiment(
        datasets=("kodak",),
        images={"kodak": ("k",)},
        codecs=("jpeg", Wanted("bpg", (20, 30), True)),
        points=3,
        out="mine",
        measured_with=told,
    )

    assert found == found.overridden(datasets=None, codecs=[], metrics=(), anchor=None)
    other = found.overridden(datasets=["sample"], quality=[5.0])
    assert (("jpeg", Wanted("bpg", (), True)), None) == (other.codecs, other.points)
    assert ((), {"codecs": {"a": "1"}}) == (other.images, other.measured_with)
    assert 2 == found.overridden(quality=[5.0], points=2).points
    assert ["k2"] == found.overridden(images=["k2"]).images
    assert "mine" == found.overridden(anchor="jpeg").out
