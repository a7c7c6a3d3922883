"""Photographs are known by their pixels, however they are packed."""

from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.codecs.agvae.training import photographs
from bench.errors import DatasetError


def test_order_and_names_do_not_depend_on_packing(photo_dir, tmp_path):
    """Tars give the same photographs in the same order as the folder they were made from."""
    files = sorted(photo_dir.glob("*.png"))
    for number, part in enumerate((files[:2], files[2:])):
        with tarfile.open(tmp_path / f"part{number}.tar", "w") as archive:
            for path in part:
                archive.add(path, f"inside/{path.name}")
    shutil.copy(photo_dir / "manifest.csv", tmp_path)

    folder = photographs.read([photo_dir])
    tars = photographs.read([tmp_path / "part1.tar", tmp_path / "part0.tar"])
    folder_of_tars = photographs.read([tmp_path])

    assert 6 == len(folder.members)
    assert folder.digest == tars.digest == folder_of_tars.digest
    assert [p.name for p in folder.members] == [p.name for p in tars.members]
    assert {"CC0"} == {p.licence for p in tars.members}


def test_pixels_arrive_unchanged(photo_dir, pieces):
    """What is read is what was saved."""
    for photo in photographs.read([photo_dir]).members:
        assert np.array_equal(pieces[photo.name], photo.pixels)


def test_what_cannot_be_used_is_left_out_with_its_reason(photo_dir, tmp_path, pieces):
    """Damage, transparency and repetition cost that file alone."""
    name, pixels = next(iter(pieces.items()))
    shutil.copy(photo_dir / name, tmp_path / "a.png")
    PILImage.fromarray(pixels).save(tmp_path / "b.webp", lossless=True)
    PILImage.fromarray(np.dstack([pixels, pixels[..., :1]])).save(tmp_path / "c.png")
    (tmp_path / "d.jpg").write_bytes(b"\xff\xd8 not a picture")
    (tmp_path / "notes.txt").write_text("no picture either")

    found = photographs.read([tmp_path])

    assert 1 == len(found.members)
    reasons = dict(found.left_out)
    assert {"b.webp", "c.png", "d.jpg"} == set(reasons)
    assert "the same pixels as a.png" == reasons["b.webp"]
    assert "RGBA" in reasons["c.png"]
    assert "decoded" in reasons["d.jpg"]


def test_another_file_of_the_name_is_refused(photo_dir, tmp_path):
    """A photograph whose hash differs from the manifest's stops the run."""
    shutil.copytree(photo_dir, tmp_path / "data")
    shutil.copy(tmp_path / "data" / "ihc0.png", tmp_path / "data" / "ihc1.png")

    with pytest.raises(DatasetError, match=r"ihc1\.png is not the one"):
        photographs.read([tmp_path / "data"])


@pytest.mark.parametrize("name", ["absent", "empty", "damaged.tar"])
def test_no_photographs(tmp_path, name):
    """A path without photographs is named in the error."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.tar").write_bytes(b"no tar")

    with pytest.raises(DatasetError, match=name):
        photographs.read([tmp_path / name])


def test_split_and_size(photo_dir):
    """Held-out photographs are always the same; small ones are left out with their size."""
    every = photographs.read([photo_dir])

    training, held_out = every.split(2)
    small = every.at_least(201)

    assert every.members == held_out.members + training.members
    assert not small.members
    assert "230x200 is smaller than a crop of 201" in dict(small.left_out).values()


def test_facts_name_every_source(photo_dir):
    """The record of a training names each photograph under its licence."""
    photos = photographs.read([photo_dir])
    facts = photos.facts()

    assert {"CC0": 6} == facts["licences"]
    assert "sky/rocket0.png" in photos.sources_by_licence()["CC0"]
    assert 0.3 == facts["megapixels"]
