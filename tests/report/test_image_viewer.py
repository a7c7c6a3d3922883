"""Which pictures a page takes, and that they are the measured ones."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import re
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PILImage

from bench import registry
from bench.codec import Codec
from bench.errors import DecodeError, OutputError
from bench.measurement.results import load_results
from bench.measurement.rows import records
from bench.report import Options, Outcome, write
from bench.report import results as data
from bench.report.choice import busiest_window, choose_images
from bench.report.decoding import Lanes, decode_checked, to_webp
from bench.report.gallery import Scene
from bench.report.image_viewer import Builder
from bench.report.rate_matching import Exact, matched


def one_image(curves: dict[str, list[float]]) -> pd.DataFrame:
    """Return rows of one image: codec -> rates."""
    return pd.DataFrame(
        [
            {
                "dataset": "d",
                "image": "i",
                "codec": codec,
                "label": codec,
                "setting": f'{{"quality":{place}}}',
                "bpp": rate,
                "error": "",
            }
            for codec, rates in curves.items()
            for place, rate in enumerate(rates)
        ]
    )


def rates(found: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return codec -> bpp of what was chosen."""
    return {codec: row["bpp"] for codec, row in found.items()}


def test_rungs_that_lie_together_are_taken():
    """Both codecs have a rung at 0.34: that pair beats each one's own nearest to 0.3."""
    rows = one_image({"a": [0.1, 0.27, 0.34], "b": [0.2, 0.34, 0.6]})

    assert {"a": 0.34, "b": 0.34} == rates(matched(rows, 0.3))


def test_a_codec_far_away_is_left_out():
    """24 bpp is no match for 0.3 bpp."""
    rows = one_image({"a": [0.1, 0.3], "null": [24.0]})

    assert {"a": 0.3} == rates(matched(rows, 0.3))


def test_window_shows_where_the_detail_is(rng: np.random.Generator):
    """Of a large flat picture with one busy corner, the corner is shown."""
    picture = np.full((1200, 2000, 3), 90, np.uint8)
    picture[640:1152, 1200:1968] = rng.integers(0, 255, (512, 768, 3), dtype=np.uint8)

    assert (1200, 640, 768, 512) == busiest_window(picture)
    assert (640, 1200, 512, 768) == busiest_window(picture.transpose(1, 0, 2).copy())
    assert (0, 0, 60, 40) == busiest_window(picture[:40, :60])


def test_webp_is_lossless(photo):
    """What the page shows is what was decoded, to the last bit."""
    from io import BytesIO

    back = np.asarray(PILImage.open(BytesIO(to_webp(photo))).convert("RGB"))

    assert np.array_equal(photo, back)


def test_images_are_chosen_by_name_or_spread():
    """Asked-for images come in the order asked; else easy and hard ones are both there."""
    rows = pd.concat(
        [one_image({"a": [k / 10]}).assign(image=f"p{k}") for k in range(1, 21)],
        ignore_index=True,
    )
    chosen = choose_images(rows, [], 5)

    assert ["p7", "p3"] == choose_images(rows, ["p7", "absent", "p3"])
    assert 5 == len(chosen)
    assert {"p1", "p20"} <= set(chosen)


@pytest.fixture
def streams(results_dir: Path) -> data.Bitstreams:
    """The bitstreams of the small run."""
    return data.Bitstreams(load_results(results_dir), load_results(results_dir).original)


def test_another_picture_is_refused(streams: data.Bitstreams):
    """A file that no longer decodes to the measured PSNR is not shown."""
    row = records(streams.results.rows)[0]
    original = streams.original(row["dataset"], row["image"])

    assert decode_checked(streams, row, original).shape == original.shape
    with pytest.raises(DecodeError, match="another picture than was measured"):
        decode_checked(streams, row | {"psnr_db": row["psnr_db"] + 0.1}, original)


def test_a_file_that_claims_more_is_not_decoded(photo):
    """A stranger's file of 12 megapixels for a small picture is refused by its header."""
    codec = registry.create("jpeg")
    large = codec.encode(np.zeros((3000, 4000, 3), np.uint8), codec.ladder()[0])
    streams = SimpleNamespace(codec=lambda _: codec, get=lambda _: large, decoded={})

    with pytest.raises(DecodeError, match="claims"):
        decode_checked(streams, {"psnr_db": 30.0}, photo)
    assert (3000, 4000, 3) == codec.decode(large).shape


def test_committed_results_need_no_database(results_dir: Path, tmp_path: Path):
    """From rows.csv and run.json alone, the page encodes again and believes equal hashes only."""
    for name in ("rows.csv", "run.json"):
        shutil.copy(results_dir / name, tmp_path)
    done = write(tmp_path, tmp_path / "page.html", Options(rates=(0.5,)))
    text = done.path.read_text(encoding="utf-8")

    assert done.encoded > 0
    assert [] == list(done.left_out)
    assert done.pictures > 3
    assert "each equal to the sha256 that was recorded" in text
    assert "No-codec ceiling" in text
    ceilings = data.measured_ceilings(
        load_results(tmp_path),
        {name: [] for name in load_results(tmp_path).datasets},
        load_results(results_dir).original,
    )
    assert ceilings.empty


def test_a_changed_encoder_is_noticed(results_dir: Path, tmp_path: Path):
    """If encoding again gives another file than was measured, it is left out with the reason."""
    shutil.copy(results_dir / "run.json", tmp_path)
    rows = (results_dir / "rows.csv").read_text()
    streams = data.Bitstreams(load_results(results_dir), load_results(results_dir).original)
    row = records(streams.results.rows)[0]
    (tmp_path / "rows.csv").write_text(rows.replace(row["bitstream_sha256"], "0" * 64))
    changed = data.Bitstreams(load_results(tmp_path), load_results(results_dir).original)

    with pytest.raises(OutputError, match="now writes another file"):
        changed.get(row | {"bitstream_sha256": "0" * 64})


def test_damaged_store_is_noticed(results_dir: Path, tmp_path: Path):
    """Bytes that lost their hash in the database are refused."""
    shutil.copy(results_dir / "bench.sqlite", tmp_path)
    with closing(sqlite3.connect(tmp_path / "bench.sqlite")) as db, db:
        db.execute("UPDATE bitstreams SET data = X'00'")
    streams = data.Bitstreams(load_results(tmp_path), load_results(results_dir).original)

    with pytest.raises(OutputError, match="wanted sha256"):
        streams.get(records(streams.results.rows)[0])


def test_budget_is_kept_and_told(results_dir: Path, tmp_path: Path, outcome: Outcome):
    """A page that may hold only some of the pictures says which it lacks."""
    wanted = (outcome.size_bytes - 200_000) / 1e6
    options = Options(rates=(0.5, 1.0), budget_mb=wanted)
    done = write(results_dir, tmp_path / "small.html", options)

    assert done.size_bytes <= 1e6 * wanted
    assert 0 < done.pictures < outcome.pictures
    assert any("over the size budget" in reason for reason in done.left_out)


def test_exact_rates(results_dir: Path):
    """A file made to measure lies nearer to the rate than any stored rung, and is scored."""
    results = load_results(results_dir)
    rows = results.rows[results.rows["image"] == "face.png"]
    streams = data.Bitstreams(results, load_results(results_dir).original)
    original = streams.original(str(rows["dataset"].iloc[0]), "face.png")
    rungs = sorted(rows.loc[rows["codec"] == "jpeg", "bpp"])
    rate = math.sqrt(rungs[2] * rungs[3])
    near = matched(rows, rate)["jpeg"]
    row = Exact(streams, ["psnr", "ms_ssim"]).row(near, rows, original, rate)

    assert 0.1 < abs(math.log(near["bpp"] / rate))
    assert 0.03 > abs(math.log(row["bpp"] / rate))
    assert row["bytes"] == len(streams.get(row))
    assert row["bitstream_sha256"] == hashlib.sha256(streams.get(row)).hexdigest()
    decoded = registry.create("jpeg").decode(streams.get(row)).astype(float)
    error = np.mean((decoded - original) ** 2)
    assert pytest.approx(10 * math.log10(255**2 / error), abs=1e-6) == row["psnr_db"]


def test_exact_files_are_scored_against_their_own_image(results_dir: Path):
    """Images of two datasets may have one name: each is the reference of its own files alone."""
    results = load_results(results_dir)
    rows = results.rows[results.rows["image"] == "face.png"]
    streams = data.Bitstreams(results, results.original)
    first = streams.original(str(rows["dataset"].iloc[0]), "face.png")
    exact = Exact(streams, ["psnr", "ms_ssim"])
    near = matched(rows, 0.8)["jpeg"]
    second = np.ascontiguousarray(first[::-1])
    found = [exact.row(near, rows, image, 0.8)["psnr_db"] for image in (first, second)]
    alone = Exact(streams, ["psnr", "ms_ssim"]).row(near, rows, second, 0.8)["psnr_db"]

    assert alone == found[1]
    assert abs(found[0] - found[1]) < 1


def test_networks_have_a_thread_and_the_page_stays_the_same(
    results_dir: Path, tmp_path: Path, html: str, monkeypatch: pytest.MonkeyPatch
):
    """Pictures of a codec that is a network are made beside the others, in one thread, in order."""
    threads = set()
    jpeg = registry.discover()["jpeg"].cls
    decode = jpeg.decode

    def watched(self, file):
        threads.add(threading.current_thread().name)
        return decode(self, file)

    monkeypatch.setattr(Builder, "_is_network", lambda _, row: row["codec"] == "jpeg")
    monkeypatch.setattr(jpeg, "decode", watched)
    done = write(results_dir, tmp_path / "page.html", Options(rates=(0.5, 1.0)))

    assert html == done.path.read_text(encoding="utf-8")
    assert {"networks"} == threads


def test_after_ctrl_c_no_network_is_waited_for():
    """Not for the picture it is at, and no further one is begun; else it is waited for."""
    begun, gate, ended = threading.Event(), threading.Event(), []

    def picture() -> None:
        begun.set()
        gate.wait(30)
        ended.append(True)

    with contextlib.suppress(KeyboardInterrupt), Lanes() as lanes:
        first = lanes.run(picture, network=True)
        second = lanes.run(picture, network=True)
        begun.wait(30)
        raise KeyboardInterrupt
    assert [] == ended
    gate.set()
    assert None is first.result(30)
    assert not second.done()
    with Lanes() as lanes:
        lanes.run(picture, network=True)
        lanes.run(picture, network=True).result()
    assert 3 == len(ended)


def test_exact_page_says_so(results_dir: Path, tmp_path: Path):
    """Files made for the page are called that, and hit the rate better than stored rungs."""
    options = Options(images=["face.png"], rates=(0.8,), exact_rates=True)
    done = write(results_dir, tmp_path / "page.html", options)
    text = done.path.read_text(encoding="utf-8")
    shots = re.findall(r'"bpp":([\d.]+),"exact":true', text)

    assert "Every codec encoded these pictures for this page" in text
    assert 2 == len(shots)
    assert all(abs(math.log(float(bpp) / 0.8)) < 0.06 for bpp in shots)


def test_originals_not_at_hand_cost_pictures_only(results_dir: Path, tmp_path: Path):
    """Without the images there is still a page, which says why it has no pictures."""
    text = (results_dir / "rows.csv").read_text()
    record = (results_dir / "run.json").read_text()
    for name, content in (("rows.csv", text), ("run.json", record)):
        (tmp_path / name).write_text(content.replace("folder:", "folder:/absent"))
    done = write(tmp_path, tmp_path / "page.html")

    assert 0 == done.pictures
    assert any("is not available" in reason for reason in done.left_out)
    assert dataclasses.asdict(done)["size_bytes"] > 100_000


@pytest.mark.parametrize(
    ("searches", "time_s", "made"),
    [(("b",), 1.0, "b"), (("a", "b"), 1.0, "a"), ((), 1.0, ""), (("b",), 30.0, "")],
)
def test_the_first_pair_is_at_equal_rates(searches: tuple[str, ...], time_s: float, made: str):
    """Whoever hits any rate quickly is encoded to the rate of the other; nobody else is."""
    plain = type("Plain", (), {"encode_to_rate": Codec.encode_to_rate, "learned": False})()
    able = type("Able", (), {"encode_to_rate": lambda *_: None, "learned": False})()
    streams = SimpleNamespace(codec=lambda row: able if row["codec"] in searches else plain)
    asked = []

    def exact(near, _rows, _original, rate):
        asked.append((near["codec"], rate))
        return dict(near) | {"bpp": rate}

    rows = one_image({"a": [0.3], "b": [0.4]}).assign(encode_s=time_s)
    builder = Builder(rows, streams, 0, SimpleNamespace(row=exact), pairs={"d": ("a", "b")})
    scene = Scene("d", "i", np.zeros((1, 1, 3), np.uint8), (0, 0, 1, 1), 0)
    with builder.lanes:
        found = builder._equal(scene, {str(row["codec"]): row for row in records(rows)})
        assert all(not row.result()[1] for row in found.values())
    other = {"a": 0.4, "b": 0.3}

    assert ([made] if made else []) == list(found)
    assert [(codec, other[codec]) for codec in found] == asked
