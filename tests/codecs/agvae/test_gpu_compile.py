"""The kernels compile for a GPU on a machine that has none.

Triton's interpreter accepts what its compiler refuses, such as a variable that changes its type in
a loop; this finds it before a GPU does.
"""

from __future__ import annotations

import os

import pytest

triton = pytest.importorskip("triton", reason="AG-VAE's kernels need Triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("interpreted kernels cannot be compiled", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from bench.codecs.agvae.gpu.kernels import decoding, encoding, layers, pixels  # noqa: E402

HOPPER = GPUTarget("cuda", 90, 32)

# Triton 3.8 builds a syntax tree in a way that Python 3.13 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:AnnAssign.__init__ missing:DeprecationWarning")

# Pointers by the name of the argument; int32 where nothing is said.
TYPES = {
    "words": "i16",
    "out": "i32",
    "buckets": "i64",
    "ends": "i64",
    "bits": "fp32",
    "mu": "fp32",
    "left": "i16",
    "right": "i16",
    "indices": "u8",
    "latent": "fp64",
    "pixels": "u8",
}
DOUBLES = dict.fromkeys(("x", "bias", "before", "weight", "product", "out"), "fp64")
HALVES = {"x": "bf16", "out": "bf16", "bias": "fp32"}
SCALARS = {
    "size", "stride", "first", "capacity", "num_parts", "longest", "length_finder",
    "batch", "height", "width", "rows", "columns",
}  # fmt: skip
LINE = {"BLOCK": 1024}
CASES = [
    (decoding.decode_part, {}, {"BLOCK": 32}, 1),
    (decoding.decode_part, {}, {"BLOCK": 64}, 1),
    (encoding.encode_stream, {}, {"BLOCK": 32}, 1),
    (encoding.encode_stream, {}, {"BLOCK": 64}, 1),
    (encoding.locate, {}, LINE, 4),
    (encoding.collect, {"states": "i16", "out": "i16"}, {"TRIALS": 3, **LINE}, 4),
    (layers.requantise, DOUBLES, {"CHANNELS": 256, "LEAK": True, **LINE}, 4),
    (layers.depthwise, DOUBLES, {"CHANNELS": 256, **LINE}, 4),
    (layers.add, DOUBLES, {"CHANNELS": 256, "BY_CLASS": True, **LINE}, 4),
    (layers.add, DOUBLES, {"CHANNELS": 256, "BY_CLASS": False, **LINE}, 4),
    (layers.parameters, DOUBLES, {"QUARTER": 64, "TIED": True, "FIND": False, **LINE}, 4),
    (layers.parameters, DOUBLES, {"QUARTER": 64, "TIED": False, "FIND": True, **LINE}, 4),
    (layers.reconstruct, {}, {"QUARTER": 64, **LINE}, 4),
    (pixels.cells, HALVES, LINE, 4),
    (pixels.add_bias, HALVES, {"CHANNELS": 96, **LINE}, 4),
    (pixels.rectify, HALVES, {"CHANNELS": 48, **LINE}, 4),
    (pixels.shuffle, HALVES, {"CHANNELS": 96, **LINE}, 4),
    (pixels.paint, HALVES, LINE, 4),
]


@pytest.mark.parametrize(("kernel", "types", "constants", "warps"), CASES)
def test_compiles_for_hopper(kernel, types, constants, warps, tmp_path, monkeypatch):
    """Down to machine code, with the very argument types that the callers pass."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    names = kernel.arg_names

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        return "i32" if name in SCALARS else "*" + {**TYPES, **types}.get(name, "i32")

    source = ASTSource(
        kernel,
        {name: kind(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
    )
    compiled = triton.compile(source, target=HOPPER, options={"num_warps": warps})

    assert len(compiled.asm["cubin"]) > 1000
    if kernel is decoding.decode_part and constants["BLOCK"] == 32:
        # A ballot is one reduction and a rank one instruction, or a step takes twice as long.
        assert "redux.sync" in compiled.asm["ptx"]
        assert "popc.b32" in compiled.asm["ptx"]
