"""Counted coding tables: fitted from what was seen, stored, named by files, refused if damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import torch

from bench.codecs.agvae.bitstream import coding_tables, container, hyper_context
from bench.codecs.agvae.bitstream.frequency_tables import ESCAPE_LENGTH, standard_bank
from bench.codecs.agvae.commands.train_tables import train_tables
from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.training import count_tables
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights import counted as counted_tables
from bench.errors import Unavailable

NAME = "small-gain-asym-mse"


@pytest.fixture
def weights(tmp_path):
    """A copy of the shipped small network, in a folder of its own."""
    [manifest] = checkpoints.find("gain-asym", preset="small")
    for suffix in (".json", ".safetensors", ".tables.npz"):
        shutil.copy(manifest.folder / f"{NAME}{suffix}", tmp_path)
    return tmp_path / f"{NAME}.safetensors"


def test_corrections_follow_what_was_seen():
    """Symbols seen often get more of the table than the model gave them; the unseen keep it."""
    bank = standard_bank()
    seen = np.zeros(bank.origin[ESCAPE_LENGTH], np.int64)
    context = 40 * 20 + 20
    seen[bank.origin[context] - 2] = 100_000

    sign, tail = count_tables.fit_y(seen)
    coding_tables.check_y(sign, tail)

    corrected = coding_tables.corrected_bank(sign, tail).bits
    assert corrected[bank.origin[context] - 2] < 0.1
    np.testing.assert_allclose(sign[0], sign[0][::-1], atol=2)
    assert abs(corrected[bank.origin[0]] - bank.bits[bank.origin[0]]) < 0.01


def test_predictions_find_a_copy_of_the_neighbours():
    """Where z repeats itself, the fitted tables take few bits; where it is noise, no fewer."""
    rng, config = np.random.default_rng(5), preset("small")
    levels, hyper = len(count_tables.levels_of(config)), config.hyper
    alike = np.repeat(rng.integers(-3, 4, (12, 1, 1, 1, hyper)), 8, 2).repeat(8, 3)
    alike = [one.repeat(levels, 0).astype(np.int16) for one in alike]
    own = np.full((hyper, 43), 700)
    own[:, 21] += 32768 - own[0].sum()

    arrays = count_tables.fit_z(alike, own, config)

    context = hyper_context.HyperContext.of(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, -2
    )
    z = torch.from_numpy(alike[0][:1].astype(np.int32))
    parts = list(hyper_context.parts(hyper))
    bits = [
        -np.log2(
            arrays["z_tables"][
                context.tables(z, part, torch.tensor([0])).numpy(),
                z[:, part.rows, part.columns, part.channels].numpy() + count_tables.Z_RADIUS + 1,
            ]
            / 32768
        ).mean()
        for part in (parts[0], parts[-1])
    ]
    assert bits[1] < bits[0] / 2


def test_command_stores_tables_that_files_name(weights, formula, tmp_path):
    """Photographs in, tables and manifest out; new files carry another id, old ones decode."""
    old = Engine(checkpoints.read_manifest(weights.with_suffix(".json")))
    image = formula(64, 96)
    before = old.encode([image], [-300])[0]
    (tmp_path / "photos").mkdir()
    for i in range(2):
        PIL.Image.fromarray(np.roll(image, 8 * i, 0)).save(tmp_path / "photos" / f"{i}.png")

    train_tables(weights, [tmp_path / "photos"], 0)

    manifest = checkpoints.read_manifest(weights.with_suffix(".json"))
    assert 2 == manifest.facts["coding_tables"]["data"]["photos"]
    new = Engine(manifest)
    after = new.encode([image], [-300])[0]
    headers = [container.read(data)[0].model_id.hex() for data in (before, after)]
    assert [old.manifest.file_id, manifest.file_id] == headers
    assert headers[0] != headers[1]
    decoded = new.decode_latents([container.read(after)])
    assert torch.equal(decoded, old.decode_latents([container.read(before)]))


def test_other_tables_are_refused(weights):
    """A file of tables that is damaged, missing or another than the manifest's is an error."""
    manifest = checkpoints.read_manifest(weights.with_suffix(".json"))
    tensors = checkpoints.load(manifest)
    arrays = coding_tables.read(manifest.tables_path)
    swapped = {**arrays, "z_index": np.flip(arrays["z_index"], 1)}
    coding_tables.save(manifest.tables_path, swapped)
    with pytest.raises(Unavailable, match="sha256"):
        counted_tables.coding_tables(manifest, tensors)
    whole = manifest.tables_path.read_bytes()
    start = whole.index(b".npy") + 40  # of compressed numbers
    flags = whole.rindex(b"PK\1\2") + 8
    damaged = {
        "no zip": b"PK\3\4" + bytes(60),
        "empty": b"",
        "other numbers": whole[:start] + bytes(20) + whole[start + 20 :],
        "encrypted": whole[:flags] + b"\1" + whole[flags + 1 :],
        "compressed otherwise": whole[: flags + 2] + b"\x63" + whole[flags + 3 :],
    }
    for data in damaged.values():
        manifest.tables_path.write_bytes(data)
        with pytest.raises(Unavailable, match="cannot be read"):
            counted_tables.coding_tables(manifest, tensors)
    manifest.tables_path.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        counted_tables.coding_tables(manifest, tensors)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("y_sign", lambda a: a + 1),
        ("y_tail", lambda a: a * 2),
        ("z_tables", lambda a: a[:, :-1]),
        ("z_index", lambda a: a[:, :-1]),
        ("z_weights", lambda a: a * 200 + 256),
        ("z_value_thresholds", lambda a: a[::-1].copy()),
        ("z_magnitude_thresholds", lambda a: a.astype(np.int64)),
    ],
)
def test_tables_that_make_no_sense_are_refused(weights, name, change):
    """Each array is checked: sums, shapes, ranges, order, type."""
    manifest = checkpoints.read_manifest(weights.with_suffix(".json"))
    arrays = coding_tables.read(manifest.tables_path)

    with pytest.raises(ValueError, match=r"wanted|must be|do not go together"):
        coding_tables.check({**arrays, name: change(arrays[name])})


def test_shipped_tables_are_the_manifests():
    """All tables that ship are read, and name the photographs that they were counted on."""
    shipped = [m for m in checkpoints.manifests() if m.tables is not None]

    assert {NAME, "base-gain-asym-mse", "base-gain-asym-ms-ssim"} == {m.name for m in shipped}
    for manifest in shipped:
        found = coding_tables.digest(coding_tables.read(manifest.tables_path))
        facts = json.loads((manifest.folder / f"{manifest.name}.json").read_text("utf-8"))
        assert facts["coding_tables"]["sha256"] == found
        assert 453 == facts["coding_tables"]["data"]["photos"]
