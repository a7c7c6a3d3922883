"""Several codecs of one family against the first of them: figure 9, and figure 11 as a pair."""

from __future__ import annotations

import numpy as np
import pytest
from drawings import LADDER, make, words_of

from bench.output.figure import Skipped, select


def curve(gain_db: float, points: slice = slice(None)) -> list[tuple[float, float]]:
    """Return a ladder that lies above the first one by some decibels."""
    return [(rate, quality + gain_db) for rate, quality in LADDER[points]]


def test_each_codec_is_compared_with_the_first(invented):
    """Gaps at equal rate, the words of the set, the terms; who has no results is named."""
    context = invented(
        agvae_branch=LADDER, agvae_scalar=curve(-0.5), agvae_nogain=curve(0.1, slice(1, 4))
    )

    product = make(context, "fig09-mechanisms")

    gaps = {name: select(product.data, "gap", name)["y"] for name in ("agvae-scalar",)}
    assert np.allclose(-0.5, gaps["agvae-scalar"])
    assert 3 == len(select(product.data, "gap", "agvae-nogain"))
    assert not len(select(product.data, "gap", "agvae-branch"))
    words = " ".join(words_of(product.figure).split())
    assert "one gain a level" in words
    assert "dedicated networks" in words
    assert any("favours gain units" in note for note in product.notes)
    assert any(note.startswith("agvae-conditional: no results") for note in product.notes)
    assert {"PSNR-RGB (dB)"} <= {row[0].text for row in product.table.rows}


def test_the_first_must_be_there(invented):
    """Without the codec that the others are compared with, or without any other: a reason."""
    with pytest.raises(Skipped, match="agvae-branch"):
        make(invented(agvae_scalar=LADDER), "fig09-mechanisms")
    with pytest.raises(Skipped, match=r"agvae-scalar.*bench all -d"):
        make(invented(agvae_branch=LADDER), "fig09-mechanisms")


def test_gains_on_y_alone_are_a_pair(invented):
    """HCVR minus CVR at equal rate."""
    product = make(invented(agvae_branch=curve(0.2), agvae_cvr=LADDER), "fig11-gains-on-y-alone")

    assert np.allclose(0.2, select(product.data, "gain")["y"])
    assert {"gains on y and z (HCVR)", "gains on y alone (CVR)"} <= set(product.data["series"])
