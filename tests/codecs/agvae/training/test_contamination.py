"""A test image among the training photographs is found, however it was changed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image
from bench.codecs.agvae.training import contamination, matched_features
from bench.codecs.agvae.training.contamination import check, fingerprints_of, known, perceptual_hash
from bench.codecs.agvae.training.photographs import Photo, Photos, read
from bench.codecs.agvae.training.run import Run, Session
from bench.errors import DatasetError

CHANGES = {
    "same": lambda x: x,
    "half": lambda x: np.asarray(
        PILImage.fromarray(x).resize((x.shape[1] // 2, x.shape[0] // 2), PILImage.Resampling.BOX)
    ),
    "mirrored": lambda x: x[:, ::-1],
    "turned": np.rot90,
    "upside down": lambda x: np.rot90(x, 2),
    "darker": lambda x: (x * 0.8).astype(np.uint8),
    "noisy": lambda x: (x.astype(int) + np.random.default_rng(1).integers(-12, 13, x.shape)).clip(
        0, 255
    ),
}


def as_photos(*pixels: np.ndarray) -> Photos:
    """Return pictures as training photographs."""
    members = []
    for number, one in enumerate(pixels):
        array = np.ascontiguousarray(one, np.uint8)
        members.append(Photo(f"p{number}", array, image.pixels_sha256(array)))
    return Photos(tuple(members))


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(photo, pieces, change):
    """chelsea.png is a test image: scaled, mirrored or turned, it is found; others are not."""
    changed = CHANGES[change](photo)

    verdicts = check(as_photos(pieces["rocket0.png"], changed), known())

    suspects = verdicts["sample"].suspects
    assert {"p1"} == {suspect.photo for suspect in suspects}
    assert {"chelsea"} == {suspect.image for suspect in suspects}
    assert ("the same pixels" in {s.reason for s in suspects}) == (change == "same")
    assert not [s for name, v in verdicts.items() if name != "sample" for s in v.suspects]


def test_orientations_follow_from_the_hash(photo):
    """The eight hashes are those of the picture in its eight orientations."""
    turned = [np.rot90(photo, turns) for turns in range(4)]
    turned += [one[:, ::-1] for one in turned]
    square = [np.ascontiguousarray(one) for one in turned]

    found = {perceptual_hash(one) for one in square}

    assert set(contamination.orientations(perceptual_hash(photo))) == found


def test_crops_of_a_test_image_are_found(photo, pieces):
    """A piece of a test image, enlarged, shares its features; strangers do not."""
    piece = np.ascontiguousarray(photo[60:260, 120:340])
    larger = np.asarray(PILImage.fromarray(piece).resize((330, 300)))
    training = as_photos(pieces["ihc0.png"], larger, pieces["rocket1.png"])
    verdicts = check(training, [])

    assert [1] == list(matched_features.check(training, [("sample", "chelsea", photo)], verdicts))

    suspects = verdicts["sample"].suspects
    assert ["p1"] == [suspect.photo for suspect in suspects]
    assert "matched features" in suspects[0].reason
    assert 1 == verdicts["sample"].by_fragments


def test_fingerprints_are_of_these_very_images(kodak_dir):
    """The stored hashes are those of the images available, and every Kodak image has one."""
    stored = {(p.dataset, p.image): p.bits for p in known() if p.bits is not None}
    found = fingerprints_of(
        (name, path.stem, image.load(path))
        for name, path in [("kodak", p) for p in sorted(kodak_dir.glob("*.png"))[::6]]
    )

    assert 24 == sum(dataset == "kodak" for dataset, _ in stored)
    for print_ in found:
        assert stored["kodak", print_.image] == print_.bits


def test_fingerprints_are_written_and_kept(tmp_path, photo, pieces):
    """Writing adds to what is there."""
    path = tmp_path / "prints.json"

    assert 1 == contamination.write_fingerprints([("a", "x", photo)], path)
    assert 2 == contamination.write_fingerprints([("b", "y", pieces["ihc0.png"])], path)
    assert f"{perceptual_hash(photo):016x}" in path.read_text()


def test_a_run_refuses_test_images(options, photo, tmp_path, photo_dir):
    """Nothing is trained on a test image, not even on its mirror image."""
    from dataclasses import replace

    for path in photo_dir.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    image.save(np.ascontiguousarray(photo[:, ::-1]), tmp_path / "mine.png")
    leaky = replace(options(held_out=0), data=(tmp_path,))

    with pytest.raises(DatasetError, match=r"mine\.png shows the test image chelsea of sample"):
        Run(leaky, Session())


def test_clean_photographs_pass(photo_dir):
    """Strangers are further apart than a near-duplicate ever is."""
    verdicts = check(read([photo_dir]), known())

    contamination.refuse(verdicts.values())
    nearest = [v.nearest[0] for v in verdicts.values() if v.nearest]
    assert min(nearest) > contamination.NEAR_BITS
    assert 24 == verdicts["kodak"].by_pixels == verdicts["kodak"].by_hash
