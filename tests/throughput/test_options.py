"""What may be asked, and what is refused before anything is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench import registry
from bench.codecs.null import Null
from bench.dataset import open as dataset
from bench.errors import SettingError, UsageError
from bench.measurement import provenance
from bench.throughput import options
from bench.throughput.measure import lanes_of
from bench.throughput.options import Options
from bench.throughput.worker_pool import Lanes


def test_lists_are_sorted_sets():
    """Small batches first, each once."""
    assert (1, 4, 24) == options.batches("24, 1,4,4")
    assert (1, provenance.cpu_count()) == tuple(sorted({1, *options.threads("all,1")}))


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "1.5", "many", "1,two", "99999"])
def test_bad_batches(text: str):
    """The message says what was found or wanted."""
    with pytest.raises(UsageError, match="--batch"):
        options.batches(text)


@pytest.mark.parametrize("text", ["0", "1025000", "half"])
def test_bad_threads(text: str):
    """No more cores than there are."""
    with pytest.raises(UsageError, match=r"--threads.*all"):
        options.threads(text)


class Network(Null):
    """A learned codec whose network computes in float32 alone."""

    name = "network"
    learned = True
    precisions = ("float32",)
    devices = ("cpu", "cuda")


class Flexible(Network):
    """One that can choose."""

    name = "flexible"
    precisions = ("float32", "bfloat16")


def test_precision_only_where_it_can_be_chosen():
    """A learned codec that cannot is named; classical ones do not matter beside one that can."""
    jpeg = registry.create("jpeg")
    for harmless in ("", "float32", "fastest"):
        options.check_precision(harmless, [Network(), jpeg])
    options.check_precision("bfloat16", [Flexible(), jpeg])
    for codecs in ([Network(), Flexible()], [jpeg]):
        with pytest.raises(UsageError, match=f"bfloat16: {codecs[0].name} cannot compute in it"):
            options.check_precision("bfloat16", codecs)
    with pytest.raises(UsageError, match="float32 or bfloat16 or fastest"):
        options.check_precision("float16", [Flexible()])


@pytest.mark.parametrize(
    ("device", "wanted", "found"),
    [
        ("cpu", "", "float32"),
        ("cuda", "", "bfloat16"),
        ("cuda", "float32", "float32"),
        ("cpu", "bfloat16", "bfloat16"),
    ],
)
def test_precision_is_recorded_as_it_runs(device: str, wanted: str, found: str):
    """AG-VAE's usual one on that device, or the one asked for; classical codecs have none."""
    codec = registry.create("agvae")
    codec.device = device

    assert found == codec.choose_precision(wanted)
    assert "" == registry.create("jpeg").choose_precision(wanted)
    assert "float32" == Network().choose_precision("fastest")


@pytest.mark.parametrize(
    ("circuits", "found"), [(True, "bfloat16"), (False, "float32")], ids=["with", "without"]
)
def test_fastest_precision(monkeypatch, circuits: bool, found: str):
    """What has circuits for bfloat16 uses them if asked for speed."""
    codec = registry.create("agvae")
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: circuits, raising=False)

    assert found == codec.choose_precision("fastest")
    codec.device = "cuda"
    assert "bfloat16" == codec.choose_precision("fastest")


def test_settings_are_those_of_bench_all():
    """The middle rung, or the qualities asked for; a codec's own range holds."""
    [curve], lacking = options.curves(Options(), ["jpeg"], 1, None)
    ladder = registry.settings(curve.codec, registry.Spec.parse("jpeg"))
    [two], _ = options.curves(Options(), ["jpeg"], None, [5.0, 95.0])

    assert [] == lacking
    assert (ladder[len(ladder) // 2],) == curve.settings
    assert [5, 95] == [setting["quality"] for setting in two.settings]
    with pytest.raises(SettingError, match="quality"):
        options.curves(Options(), ["jpeg"], None, [500.0])


def test_lanes():
    """Classical codecs get processes, learned ones threads; a GPU one configuration."""
    jpeg, agvae = registry.create("jpeg"), registry.create("agvae")
    on_gpu = registry.create("agvae")
    on_gpu.device = "cuda"

    assert [Lanes(1, 1), Lanes(8, 1)] == lanes_of(jpeg, (1, 8))
    assert [Lanes(1, 1), Lanes(1, 8)] == lanes_of(agvae, (1, 8))
    assert [Lanes(1, 8)] == lanes_of(on_gpu, (1, 8))


@pytest.mark.parametrize("arch", ["mbt2018", "cheng2020-anchor", "cheng2020-attn"])
def test_networks_without_gpu_are_networks_still(arch: str):
    """CompressAI's autoregressive codecs run on the CPU alone, with threads and in float32."""
    cls = registry.discover()[f"compressai-{arch}"].cls
    codec = cls.__new__(cls)  # its weights do not matter

    assert ("cpu",) == codec.devices
    assert [Lanes(1, 1), Lanes(1, 8)] == lanes_of(codec, (1, 8))
    assert "float32" == codec.choose_precision("")


def test_few_images_are_spread_over_the_dataset():
    """And its name says how many they are."""
    sample = dataset.open_dataset("sample", download=False)
    ten = replace(sample, items=tuple(range(10)), expected=10)

    assert (0, 4, 9) == ten.few(3).items
    assert (0,) == ten.few(1).items
    assert "sample (3 of 10)" == ten.few(3).display_name
    assert ten is ten.few(10)
