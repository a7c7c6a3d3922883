"""Image-codec benchmarks from real bitstreams. See README.md; the command is ``bench``.

>>> import bench
>>> r = bench.run(datasets=["sample"], codecs=["jpeg", "webp"], metrics=["psnr"], points=4)
>>> list(r.bd_rates(anchor="jpeg")["codec"].unique())
['webp']

Public names, loaded when they are first used:

* ``run`` measures and returns ``Results``; ``load_results`` reads them from a folder;
  ``load_experiment`` reads the file that says what to measure.
* ``compare`` says what changed between two runs, ``merge`` makes one of several, and
  ``import_results`` takes over those of others.
* ``encode``, ``decode`` and ``score`` treat one image; ``create_codec`` and ``create_metric`` give
  objects.
* ``Progress`` receives what happens during a run.
* ``Codec``, ``Setting``, ``Parameter`` and ``Metric`` are what a new codec or metric is made of;
  ``TorchCodec`` is a codec whose work a network does.
* ``BenchError`` is the base of every error raised on purpose.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.run_changes import Changes
    from bench.codec import Codec, Parameter, Setting
    from bench.codec.torch_codec import TorchCodec
    from bench.errors import (
        BDError,
        BenchError,
        CodecError,
        DatasetError,
        DecodeError,
        EncodeError,
        ImageError,
        MetricError,
        OutputError,
        SettingError,
        Unavailable,
        UsageError,
    )
    from bench.measurement.experiment import Experiment, load_experiment
    from bench.measurement.folders import compare, merge
    from bench.measurement.imports import import_results
    from bench.measurement.one_image import create_codec, create_metric, decode, encode, score
    from bench.measurement.progress import Progress
    from bench.measurement.results import Results, load_results
    from bench.measurement.run import run
    from bench.metrics import Metric
    from bench.rate_search import Encoded

    __version__: str

__all__ = [
    "BDError",
    "BenchError",
    "Changes",
    "Codec",
    "CodecError",
    "DatasetError",
    "DecodeError",
    "EncodeError",
    "Encoded",
    "Experiment",
    "ImageError",
    "Metric",
    "MetricError",
    "OutputError",
    "Parameter",
    "Progress",
    "Results",
    "Setting",
    "SettingError",
    "TorchCodec",
    "Unavailable",
    "UsageError",
    "__version__",
    "compare",
    "create_codec",
    "create_metric",
    "decode",
    "encode",
    "import_results",
    "load_experiment",
    "load_results",
    "merge",
    "run",
    "score",
]

_MODULES = {
    **dict.fromkeys(("compare", "merge"), "bench.measurement.folders"),
    **dict.fromkeys(
        ("create_codec", "create_metric", "decode", "encode", "score"),
        "bench.measurement.one_image",
    ),
    "import_results": "bench.measurement.imports",
    "Progress": "bench.measurement.progress",
    "Changes": "bench.analysis.run_changes",
    "Encoded": "bench.rate_search",
    **dict.fromkeys(("Codec", "Parameter", "Setting"), "bench.codec"),
    **dict.fromkeys(("Experiment", "load_experiment"), "bench.measurement.experiment"),
    **dict.fromkeys(("Results", "load_results"), "bench.measurement.results"),
    "Metric": "bench.metrics",
    "TorchCodec": "bench.codec.torch_codec",
    "run": "bench.measurement.run",
}


def __getattr__(name: str) -> object:
    """Return a public name, whose module is imported now."""
    if name == "__version__":
        from bench.measurement.provenance import bench_version

        return bench_version()
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "bench.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
