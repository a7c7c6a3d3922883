"""Rate-distortion plots: files, texts, determinism, labels that do not overlap."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image as PILImage

from bench.analysis import published_curves
from bench.errors import UsageError
from bench.output import label_placement, plot_styles, plots
from bench.output.labels import name_of, short_labels
from bench.output.plots import Curve, draw
from bench.output.sheet import RC

PROVENANCE = {"date": "2026-01-31", "cpu": "Test CPU", "commit": "abc123"}
CODECS = {
    "agvae": ("agvae 8-bit (agvae 0.1.0)", 3.0, 6),
    "avif": ("avif 4:4:4 8-bit (libaom 3.13.1)", 2.2, 11),
    "bpg": ("bpg 4:4:4 8-bit (x265 4.1)", 2.0, 8),
    "jpeg": ("jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", -2.0, 12),
    "webp": ("webp 4:2:0 8-bit (libwebp 1.6.0)", 0.0, 10),
    "jxl": ("jxl 4:4:4 8-bit (libjxl 0.11.1)", 0.9, 8),
}


def frame(codecs: tuple[str, ...] = tuple(CODECS), dataset: str = "kodak") -> pd.DataFrame:
    """Plausible curves over three images, from 0.1 to about 2 bpp."""
    rows = []
    for codec in codecs:
        label, gain, points = CODECS[codec]
        for number, image in enumerate(("a.png", "b.png", "c.png")):
            for step in range(points):
                bpp = 0.1 * 1.3**step * (1 + 0.1 * number)
                psnr = 36 + 8.5 * math.log10(bpp) + gain + number
                rows.append(
                    {
                        "dataset": dataset,
                        "image": image,
                        "codec": codec,
                        "label": label,
                        "setting": f'{{"quality":{step}}}',
                        "bytes": round(bpp * 49152),
                        "bpp": bpp,
                        "psnr_db": psnr,
                        "ms_ssim": 1 - 10 ** (-(psnr - 19) / 10),
                        "lpips_alex": 10 ** (-(psnr - 12) / 20),
                        "lpips_squeeze": 10 ** (-(psnr - 10) / 20),
                        "error": "",
                    }
                )
    return pd.DataFrame(rows)


def psnr_only(rows: pd.DataFrame) -> pd.DataFrame:
    """Drop the other metrics, so that a test draws two figures and not eight."""
    return rows.drop(columns=["ms_ssim", "lpips_alex", "lpips_squeeze"])


def written(rows: pd.DataFrame, out: Path, **options: object) -> list[Path]:
    """Return the paths of all plots of ``rows``."""
    return plots.write_all(rows, out, provenance=PROVENANCE, **options)


def texts(svg: Path) -> list[str]:
    """Return the texts of an SVG file."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_every_metric_and_scale_in_both_formats(tmp_path: Path):
    """Four metrics, two axes, two formats; the PNG is one column wide at 300 dpi."""
    paths = written(frame(), tmp_path)

    assert {
        f"kodak_{metric}_{scale}.{suffix}"
        for metric in ("psnr_db", "ms_ssim_db", "lpips_alex", "lpips_squeeze")
        for scale in ("linear", "log")
        for suffix in ("png", "svg")
    } == {path.name for path in paths}
    assert {tmp_path / "plots"} == {path.parent for path in paths}
    for path in paths:
        if path.suffix == ".png":
            with PILImage.open(path) as image:
                assert 1050 == image.width
                assert 825 <= image.height <= 1100
                assert len(image.convert("RGB").getcolors(1 << 20) or []) > 100


def test_texts_of_a_plot(tmp_path: Path):
    """Dataset, count, units, direction, a label per curve, and the small print are text."""
    written(frame(("jpeg", "bpg")).drop(columns=["ms_ssim", "lpips_alex"]), tmp_path)

    found = texts(tmp_path / "plots" / "kodak_psnr_db_log.svg")
    assert "kodak, mean of 3 images" in found
    assert "PSNR-RGB (dB), higher is better" in found
    assert any("bits per pixel" in text for text in found)
    assert {"jpeg 4:2:0", "bpg 4:4:4"} <= set(found)
    small = " ".join(found)
    for part in ("all 8-bit", "jpeg: libjpeg-turbo 3.2.0", "2026-01-31, Test CPU", "commit abc123"):
        assert part in small
    lpips = texts(tmp_path / "plots" / "kodak_lpips_squeeze_linear.svg")
    assert "LPIPS (squeeze), lower is better" in lpips


def test_same_rows_give_the_same_bytes(tmp_path: Path):
    """Neither time nor the order of rows leaves a trace, in SVG and in PNG."""
    rows = psnr_only(frame(("jpeg", "bpg")))
    paths = written(rows, tmp_path / "one")
    written(rows.sample(frac=1, random_state=5), tmp_path / "two")

    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / "plots" / path.name).read_bytes()
    assert "dc:date" not in paths[1].read_text()


def test_pyplot_is_left_alone(tmp_path: Path):
    """No figure is registered globally and no setting leaks."""
    before = dict(mpl.rcParams)

    written(psnr_only(frame(("jpeg",))), tmp_path)

    assert before == dict(mpl.rcParams)


def test_one_codec_of_one_point_is_drawn(tmp_path: Path):
    """A single point gives a marker on sane axes, log and linear."""
    paths = written(psnr_only(frame(("jpeg",))).iloc[:1], tmp_path)

    assert 4 == len(paths)
    assert "jpeg 4:2:0 8-bit" in texts(tmp_path / "plots" / "kodak_psnr_db_log.svg")
    assert "kodak, mean of 1 image" in texts(tmp_path / "plots" / "kodak_psnr_db_log.svg")


def test_missing_metrics_have_no_plot(tmp_path: Path):
    """Only what was measured is drawn."""
    rows = psnr_only(frame(("jpeg",)))

    assert {"kodak_psnr_db_linear", "kodak_psnr_db_log"} == {
        path.stem for path in written(rows, tmp_path)
    }


def test_lossless_points_are_not_drawn_but_named(tmp_path: Path):
    """A point without distortion would squash the axes; the small print says where it went."""
    rows = frame(("jpeg", "bpg"))
    exact = rows[rows["codec"] == "jpeg"].drop_duplicates("image")
    exact = exact.assign(
        codec="null", label="null (raw 1)", setting="{}", bpp=24.0, psnr_db=math.inf, ms_ssim=1.0
    )
    written(pd.concat([rows, exact.assign(lpips_alex=0.0)]), tmp_path)

    for metric in ("psnr_db", "lpips_alex"):
        found = texts(tmp_path / "plots" / f"kodak_{metric}_linear.svg")
        assert "null" not in found
        assert "not drawn: null (lossless)" in " ".join(found)


def test_nothing_to_draw_is_no_error(tmp_path: Path):
    """Rows that all failed give no plots."""
    assert [] == written(frame(("jpeg",)).assign(error="crashed"), tmp_path)


def test_datasets_have_plots_of_their_own(tmp_path: Path):
    """One set per dataset, with its own name."""
    rows = psnr_only(pd.concat([frame(("jpeg",)), frame(("jpeg",), "folder:my/photos")]))

    stems = {path.stem for path in written(rows, tmp_path)}

    assert {"kodak_psnr_db_log", "folder_my_photos_psnr_db_log"} <= stems


def test_references_are_dashed_and_said_to_be_reported(tmp_path: Path):
    """A published curve is drawn for its own dataset, named, and cut to the measured rates."""
    curve = published_curves.Reference(
        "VTM", "kodak", {"psnr_db": [(0.05, 27.0), (0.5, 35.0), (9.0, 50.0)]}
    )
    rows = frame(("jpeg", "bpg")).drop(columns=["ms_ssim", "lpips_squeeze"])
    written(rows, tmp_path, references=[curve])

    psnr = tmp_path / "plots" / "kodak_psnr_db_linear.svg"
    assert {"VTM", "reported, not measured"} <= set(texts(psnr))
    assert "stroke-dasharray" in psnr.read_text()
    assert "dashed: reported, not measured" in " ".join(texts(psnr))
    ticks = [float(text) for text in texts(psnr) if re.fullmatch(r"\d\.\d", text)]
    assert max(ticks) < 4
    assert "VTM" not in texts(tmp_path / "plots" / "kodak_lpips_alex_linear.svg")
    other = psnr_only(frame(("jpeg",), "sample"))
    written(other, tmp_path, references=[curve])
    assert "VTM" not in texts(tmp_path / "plots" / "sample_psnr_db_linear.svg")


def test_references_are_read_from_json(tmp_path: Path):
    """CompressAI's shape: PSNR, and MS-SSIM plain or in dB."""
    path = tmp_path / "vtm_kodak.json"
    results = {"bpp": [1.0, 0.5], "psnr-rgb": [40.0, 36.0], "ms-ssim-rgb": [0.99, 0.9]}
    path.write_text(json.dumps({"name": "VTM", "results": results}))

    reference = published_curves.load_reference(path)

    assert ("VTM", "kodak") == (reference.name, reference.dataset)
    assert [(0.5, 36.0), (1.0, 40.0)] == reference.points["psnr_db"]
    assert [(0.5, 10.0), (1.0, 20.0)] == [
        (bpp, pytest.approx(value)) for bpp, value in reference.points["ms_ssim_db"]
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vtm_kodak.json", "not JSON"),
        ("vtm_kodak.json", '{"name": "VTM"}'),
        ("vtm_kodak.json", '{"name": "V", "results": {"bpp": [1, 2], "psnr-rgb": [3]}}'),
        ("vtm.json", '{"name": "V", "results": {"bpp": [1], "psnr-rgb": [3]}}'),
    ],
    ids=["no-json", "no-results", "unequal", "no-dataset"],
)
def test_a_bad_reference_is_one_clear_error(tmp_path: Path, name: str, content: str):
    """The message names the file and the shape that was wanted."""
    folder = tmp_path / "curves"
    folder.mkdir()
    (folder / name).write_text(content)

    with pytest.raises(UsageError, match=r"is not a published curve.*Wanted JSON like"):
        published_curves.load_reference(folder / name)


@pytest.mark.parametrize("scale", plots.SCALES)
@pytest.mark.parametrize("metric", ["psnr_db", "ms_ssim_db", "lpips_alex"])
def test_labels_overlap_neither_each_other_nor_the_edge(metric: str, scale: str):
    """Six codecs: every label lies inside the figure and clear of every other."""
    from bench.analysis.summary import summarise

    curves = [*plots.measured_curves(summarise(frame()), metric).values()]
    with mpl.rc_context(RC):
        figure = draw(curves, metric, scale=scale, heading="Kodak", small_print="small print")
        renderer = FigureCanvasAgg(figure).get_renderer()
        labels = [t for t in figure.axes[0].texts if t.get_text()]
        boxes = [label.get_window_extent(renderer) for label in labels]

    assert {curve.label for curve in curves} == {label.get_text() for label in labels}
    for one, two in combinations(boxes, 2):
        assert not (one.x0 < two.x1 and two.x0 < one.x1 and one.y0 < two.y1 and two.y0 < one.y1), (
            one,
            two,
        )
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_a_label_goes_to_the_end_of_a_lone_curve():
    """With nothing in the way the label stands right of the last point, without a leader."""
    curve = np.array([[0.0, 0.0], [50.0, 50.0]])

    placed = label_placement.Curve(curve, (30.0, 10.0))
    [place] = label_placement.place([placed], (0, 0, 200, 200), gap=5)

    assert place is not None
    assert (1, False) == (place.anchor, place.leader)
    assert pytest.approx((70.0, 50.0)) == place.centre


def test_labels_of_equal_curves_are_kept_apart():
    """Two identical curves get two places."""
    curve = np.array([[0.0, 0.0], [50.0, 50.0], [100.0, 80.0]])

    placed = label_placement.Curve(curve, (40.0, 10.0))
    one, two = label_placement.place([placed, placed], (0, 0, 200, 200), gap=5)

    assert one is not None
    assert two is not None
    dx, dy = (abs(a - b) for a, b in zip(one.centre, two.centre, strict=True))
    assert dx >= 40 or dy >= 10


def test_densify_keeps_the_ends_and_the_step():
    """Points are at most a step apart, and the corners stay."""
    line = label_placement.densify(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 4.0]]), 1.5)

    assert np.hypot(*np.diff(line, axis=0).T).max() <= 1.5
    assert [[0, 0], [10, 4]] == line[[0, -1]].tolist()
    assert [10, 0] in line.tolist()


def test_a_codec_keeps_its_style():
    """Known names whatever else is drawn; unknown ones wherever the same codecs are named."""
    alone, together = plot_styles.styles(["bpg"]), plot_styles.styles(["bpg", "jpeg", "zoo-model"])

    assert alone["bpg"] == together["bpg"]
    assert plot_styles.styles(["zoo-model", "jpeg", "bpg"]) == together


def test_no_two_curves_share_colour_and_marker():
    """Every codec that there is, at other options, from elsewhere; every published curve."""
    from bench import registry
    from bench.analysis.published_names import find
    from bench.figures import published, spec

    ids = {i for entry in spec.load("agvae2021").entries for i in entry.options.get("reported", ())}
    looks = published.looks(find(name).name for name in ids)
    names = [*registry.discover(), "avif:speed=4", "avif:tune=iq", "bpg:level=1"]
    found = plot_styles.styles([*names, *(f"model{i}" for i in range(20))])
    pairs = [(s.colour, s.marker) for s in [*found.values(), *looks.values()]]
    pairs += [(s.colour, s.marker) for s in map(plot_styles.series_style, range(5))]

    assert len(set(pairs)) == len(pairs)
    assert all(marker for _, marker in pairs)


def test_curves_of_one_codec_share_a_colour_and_differ_in_marker():
    """Options show as open markers of another shape."""
    found = plot_styles.styles(["avif", "avif:tune=iq", "bpg"])

    assert found["avif"].colour == found["avif:tune=iq"].colour != found["bpg"].colour
    assert found["avif"].marker != found["avif:tune=iq"].marker
    assert (True, False) == (found["avif"].filled, found["avif:tune=iq"].filled)
    assert plot_styles.styles(["avif:tune=iq"])["avif:tune=iq"] == found["avif:tune=iq"]


def test_ten_codecs_have_ten_colours():
    """Unknown names move on where two would fall together."""
    names = ["bpg", "jpeg", *(f"model{i}" for i in range(8))]

    assert 10 == len({style.colour for style in plot_styles.styles(names).values()})


def test_text_colours_are_legible_on_white():
    """Contrast of at least 4.5 with white for every label."""
    for style in plot_styles.styles(["webp", "agvae-gauss", "jxl", "bpg", "avif"]).values():
        channels = [int(style.text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert 1.05 / (plot_styles.luminance(channels) + 0.05) >= 4.45


def test_common_words_move_to_the_small_print():
    """What all curves share need not be on every label."""
    labels = ["jpeg 4:2:0 8-bit (a 1)", "avif 4:4:4 8-bit (b 2)", "agvae 8-bit (c 3)"]

    assert (["jpeg 4:2:0", "avif 4:4:4", "agvae"], "8-bit") == short_labels(labels)
    assert (["jpeg 4:2:0 8-bit"], "") == short_labels(labels[:1])


def test_labels_that_differ_in_version_alone_keep_it():
    """Two versions of one encoder are two curves."""
    labels = ["JPEG 4:2:0 8-bit (turbo 2)", "JPEG 4:2:0 8-bit (turbo 3)"]

    assert (labels, "4:2:0 8-bit") == short_labels(labels)


def test_words_of_a_name_are_no_format():
    """What two names share stays in them, and effort is never common."""
    labels = ["AG-VAE small RGB 8-bit (a)", "AG-VAE small no gain RGB 8-bit, 50 steps (b)"]

    assert ["AG-VAE small", "AG-VAE small no gain, 50 steps"] == short_labels(labels)[0]
    assert ["AG-VAE small", "AG-VAE small no gain"] == [name_of(label) for label in labels]


def test_a_curve_has_its_points_by_rising_rate():
    """Whatever the order of the settings."""
    from bench.analysis.summary import summarise

    curves = [*plots.measured_curves(summarise(frame(("bpg", "jpeg"))), "psnr_db").values()]

    assert all(isinstance(curve, Curve) for curve in curves)
    assert all((np.diff(curve.points[:, 0]) > 0).all() for curve in curves)
