"""Batches are crops of the photographs, the same for a step whenever and wherever it is done."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.codecs.agvae.training.photographs import Photo, Photos
from bench.codecs.agvae.training.random_crops import Crops


def marked(height: int, width: int, number: int) -> Photo:
    """Return a picture whose pixels tell photo, row and column."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.dstack([np.full_like(rows, number), rows, columns]).astype(np.uint8)
    return Photo(str(number), pixels, str(number))


@pytest.fixture
def crops() -> Crops:
    """Crops of 16 pixels of a small and a large picture."""
    photos = Photos((marked(20, 40, 0), marked(200, 160, 1)))
    return Crops(photos, batch=64, size=16, seed=5, device=torch.device("cpu"))


def read(crops: Crops, step: int) -> torch.Tensor:
    """Return a batch as integers."""
    return (crops(torch.tensor(step)) * 255).round().int()


def test_crops_are_whole_pieces_of_one_photo(crops):
    """Rows and columns run on by one, columns backwards where mirrored, inside the picture."""
    mirrored = 0
    for step in range(4):
        for crop in read(crops, step):
            number, rows, columns = crop
            height, width = ((20, 40), (200, 160))[int(number[0, 0])]
            assert torch.equal(number, number[:1, :1].expand(16, 16))
            assert torch.equal(rows, rows[:1, :1] + torch.arange(16)[:, None].expand(16, 16))
            direction = int(columns[0, 1] - columns[0, 0])
            mirrored += direction < 0
            expected = columns[0, 0] + direction * torch.arange(16)
            assert torch.equal(columns, expected.expand(16, 16).int())
            assert rows.max() < height
            assert columns.max() < width
    assert 96 < mirrored < 160


def test_large_photos_come_more_often_but_not_by_area(crops):
    """The share of a photograph is its area to the power 0.7."""
    seen = torch.cat([read(crops, step)[:, 0, 0, 0] for step in range(60)])

    wanted = 32_000**0.7 / (32_000**0.7 + 800**0.7)

    assert abs(seen.float().mean().item() - wanted) < 0.02


def test_edges_are_reached(crops):
    """First and last row and column of a picture take part."""
    batches = torch.cat([read(crops, step) for step in range(20)])
    small = batches[batches[:, 0, 0, 0] == 0]

    assert (0, 19) == (small[:, 1].min(), small[:, 1].max())
    assert (0, 39) == (small[:, 2].min(), small[:, 2].max())


def test_a_step_is_repeatable(crops):
    """The same step gives the same batch, another step another."""
    assert torch.equal(read(crops, 3), read(crops, 3))
    assert not torch.equal(read(crops, 3), read(crops, 4))
    assert crops(torch.tensor(0)).is_contiguous(memory_format=torch.channels_last)
