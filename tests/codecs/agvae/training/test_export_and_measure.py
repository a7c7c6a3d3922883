"""Trained weights are files that the codec reads, described by whom, from what and how good."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.training import evaluate, photographs
from bench.codecs.agvae.training.export_and_measure import train
from bench.codecs.agvae.training.run import Session
from bench.codecs.agvae.weights import checkpoints


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photo_dir):
    """A gained network, trained for three steps, its table of real files."""
    from bench.codecs.agvae.training.options import Options
    from bench.codecs.agvae.training.schedule import Budget

    out = tmp_path_factory.mktemp("finished") / "tiny.safetensors"
    options = Options(
        (photo_dir,), out, Budget(3), preset="small", batch=8, crop=64, held_out=1, storage_bits=8
    )
    return options, train(options, Session())


def test_the_codec_reads_them(finished, pieces):
    """The exported network encodes and decodes a picture; its files name its weights."""
    options, _ = finished
    manifest = checkpoints.read_manifest(options.manifest)
    engine = Engine(manifest)
    image = pieces["ihc1.png"]

    data = engine.encode([image], [1000])[0]
    header, payload = container.read(data)
    shown = engine.decode([(header, payload)])[0]

    assert image.shape == shown.shape
    assert manifest.model_id == header.model_id.hex()


def test_the_table_is_of_real_files(finished, pieces):
    """Rows hold what encoding and decoding the held-out picture gives, half levels too."""
    options, outcome = finished
    facts = json.loads(options.manifest.read_text())
    held_out = photographs.read(options.data).members[0]
    engine = Engine(checkpoints.read_manifest(options.manifest))
    image = evaluate.middle(held_out.pixels).copy()
    data = engine.encode([image], [3 * 256 + 128])[0]

    rows = {row["level"]: row for row in outcome.reached}

    assert {*range(8), 0.5, 3.5, 6.5} == set(rows)
    assert 8 * len(data) / (192 * 192) == pytest.approx(rows[3.5]["bpp"], abs=1e-5)
    assert list(outcome.reached) == facts["reached"]["rows"]
    assert "real files" == facts["reached"]["by"]


def test_estimates_are_near_real_files(finished):
    """The quick table of estimated bits differs from that of files by their overhead alone."""
    options, outcome = finished
    stored = checkpoints.load(checkpoints.read_manifest(options.manifest))
    stored.pop(checkpoints.Z_TABLES)
    _, held_out = photographs.read(options.data).split(1)
    import torch

    rows = evaluate.estimated(stored, options.config, held_out, [7.0], torch.device("cpu"))

    real = outcome.reached[-1]
    assert real["psnr_db"] == pytest.approx(rows[0]["psnr_db"], abs=0.05)
    assert rows[0]["bpp"] == pytest.approx(real["bpp"], rel=0.05)
    assert real["ms_ssim"] == pytest.approx(rows[0]["ms_ssim"], abs=2e-3)


def test_the_manifest_says_what_was_done(finished):
    """Data by source and licence, steps, options, storage: enough to repeat the run."""
    options, _ = finished
    facts = json.loads(options.manifest.read_text())
    training = facts["training"]

    assert ("released", None) == (facts["status"], facts.get("note"))
    assert {"CC0": 5} == training["data"]["licences"]
    listed = json.loads((options.out.parent / training["data"]["sources"]).read_text())
    assert training["data"]["pixels_sha256"] == listed["pixels_sha256"]
    assert 5 == len(listed["sources_by_licence"]["CC0"])
    assert (3, 24, "3steps", 0) == tuple(
        training[key] for key in ("steps", "crops", "budget", "seed")
    )
    assert {8} == set(facts["storage_bits"].values())


def test_unknown_licences_are_not_released(options, photo_dir, tmp_path):
    """Weights trained on pictures that nobody licensed are marked, in the manifest and the note."""
    from dataclasses import replace

    for path in photo_dir.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    unknown = replace(options("odd", steps=1), data=(tmp_path,))

    facts = json.loads(train(unknown, Session(), real_files=False).manifest.read_text())

    assert "development" == facts["status"]
    assert "4 photographs of unknown licence" in facts["note"]
    assert "estimated bits" == facts["reached"]["by"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1000, 2000), (512, 768)), ((200, 230), (192, 192)), ((40, 130), (40, 128))],
)
def test_middle(size, expected):
    """Validation pictures are cut to whole hyper-latents around the middle."""
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 2, size[1] // 2] = 9

    cut = evaluate.middle(image)

    assert (*expected, 3) == cut.shape
    assert 9 == cut[expected[0] // 2, expected[1] // 2].max()
