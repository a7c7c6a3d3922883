"""A tiny real run and a figure set over it: two crops and a stamp-sized picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from bench import image
from bench import registry as registry_of
from bench.codec import Setting
from bench.figures import registry, spec
from bench.figures.cache import Cache
from bench.figures.results import Context
from bench.measurement import plan
from bench.measurement.results import Results, load_results
from bench.measurement.run import run
from bench.output.figure import Product, Skipped
from bench.output.sheet import RC

ENTRIES = {
    "importance": 'image = "tiny.png"\nscales = [0.0, 1.0, 1.5]',
    "discrete": "",
    "continuous": 'images = ["crop0.png", "tiny.png"]\nstep = 3.5',
    "hyper-gain": 'images = ["tiny.png"]',
    "rd": 'measured = ["agvae-small", "bpg", "webp", "jxl"]\nreported = ["vtm"]',
    "crops": (
        'image = "crop0.png"\nbpp = 0.4\n'
        'codecs = ["agvae-small", "bpg", "webp", "compressai-cheng2020-attn"]\n'
        "crop = [20, 30, 64, 48]"
    ),
    "pairs": (
        'pairs = [["agvae-small", "agvae-nogain"], ["agvae-small", "bpg"]]\n'
        'names = ["first", "second"]'
    ),
    "reported-pairs": (
        'pairs = ["balle", "minnen"]\ncurves = [["gained-balle", "bmshj2018-hyperprior"]]'
    ),
    "asymmetry": 'images = ["tiny.png"]',
    "cost": 'presets = [["small", 8]]',
    "gain-vectors": "",
    "residuals": 'images = ["crop0.png"]',
    "speed": "",
    "variants": (
        'codecs = ["agvae-small", "bpg", "agvae-scalar"]\nnames = ["first", "second", "third"]\n'
        'note = "On equal terms."'
    ),
}
"""Kind -> options of the one figure of that kind."""

FIGURE = """
[[figure]]
id = "{kind}"
kind = "{kind}"
paper = "Fig. 1"
title = "Title of {kind}"
caption = "Caption of {kind}."
[figure.options]
{options}
"""


@dataclass(frozen=True, slots=True)
class Tiny:
    """Folder of results, the set's file, and a context over both."""

    results: Path
    toml: Path
    context: Context


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, photo: image.Image) -> Tiny:
    """Real rows of three codecs on two crops, and a set with a figure of every kind."""
    root = tmp_path_factory.mktemp("figures")
    pictures = root / "pictures"
    pictures.mkdir()
    image.save(photo[0:176, 100:276], pictures / "crop0.png")
    image.save(photo[120:296, 60:236], pictures / "crop1.png")
    image.save(photo[60:124, 160:224], pictures / "tiny.png")
    name = f"folder:{pictures}"
    codecs = {word: registry_of.create(word) for word in ("agvae-small", "bpg", "webp")}
    settings = {
        word: plan.spread(registry_of.settings(codec, registry_of.Spec.parse(word)), 4)
        for word, codec in codecs.items()
    }
    settings["agvae-small"] = [Setting(level=level) for level in (0, 2, 5, 7)]
    run(
        [name],
        settings,
        ["psnr", "ms_ssim"],
        images=["crop0.png", "crop1.png"],
        out=root / "run",
        jobs=1,
    )
    toml = root / "tiny.toml"
    head = 'title = "T"\nauthors = "A"\nsource = "S"\ncodec = "agvae-small"\n'
    body = "".join(FIGURE.format(kind=k, options=v) for k, v in ENTRIES.items())
    toml.write_text(f'{head}dataset = "{name}"\n{body}')
    figure_set = spec.load(str(toml))
    context = Context(figure_set, load_results(root / "run"), Cache(root / "run/figures_cache"))
    return Tiny(root / "run", toml, context)


@pytest.fixture(scope="session")
def products(tiny: Tiny) -> dict[str, Product | Skipped]:
    """Kind -> what it made of the tiny run, or why it made nothing."""
    made: dict[str, Product | Skipped] = {}
    with mpl.rc_context(RC):
        for entry in tiny.context.figure_set.entries:
            try:
                made[entry.kind] = registry.make(tiny.context, entry)
            except Skipped as error:
                made[entry.kind] = error
    return made


@pytest.fixture
def invented(tmp_path: Path) -> Callable[..., Context]:
    """Return a function: codec -> (bpp, PSNR) pairs -> a context of rows called kodak."""

    def make(**curves: list[tuple[float, float]]) -> Context:
        rows = [
            {
                "dataset": "kodak",
                "image": f"kodim{number:02d}",
                "codec": codec.replace("_", "-"),
                "label": f"{codec.replace('_', '-')} 4:4:4 8-bit (x 1.0)",
                "setting": f'{{"quality":{i}}}',
                "bytes": 1000.0,
                "bpp": bpp * (1 + 0.02 * number),
                "psnr_db": psnr + 0.1 * number,
                "ms_ssim": 1 - 10 ** (-psnr / 25),
                "error": "",
            }
            for codec, points in curves.items()
            for i, (bpp, psnr) in enumerate(points)
            for number in (1, 2)
        ]
        record = {"date": "2026-01-02", "cpu": "a processor", "cores": 2, "commit": "abc"}
        record["datasets"] = {"kodak": {"pixels_sha256": "f" * 64}}
        figure_set = spec.load("agvae2021")
        results = Results(tmp_path, pd.DataFrame(rows), pd.DataFrame(), record)
        return Context(figure_set, results, Cache(tmp_path / "cache"))

    return make
