"""Products of matrices of 16-bit integers, written in LLVM's intermediate code.

PyTorch multiplies no such matrices, and numba does not find the instruction that is made for them:
(v)pmaddwd multiplies pairs of 16-bit numbers and adds the two products in 32 bits; with VNNI,
vpdpwssd adds them to a sum as well. LLVM chooses between both, and this code names the former.
Sums are modulo 2^32, whatever their order, so they are exact where the true sum has 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from bench.image import machine_code

Words = npt.NDArray[np.int16]
Sums = npt.NDArray[np.int32]

_ROWS = 8
"""Rows of one tile: with a vector of weights and one of activations they fill 16 registers."""

_INSTRUCTIONS = {16: "llvm.x86.avx512.pmaddw.d.512", 8: "llvm.x86.avx2.pmadd.wd"}
"""By the 32-bit sums of a vector."""


@cache
def lanes() -> int | None:
    """Return outputs that this CPU computes at once; None: it has no such instruction."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512bw") else 8 if features.get("avx2") else None


def packed(weight: Words, width: int) -> Words:
    """Return weights (inputs, outputs) in the order in which ``product`` reads them.

    (panels, inputs / 2, width, 2), a panel for each ``width`` outputs; those beyond are 0.
    """
    inputs, outputs = weight.shape
    panels = -(-outputs // width)
    whole = np.zeros((inputs, panels * width), np.int16)
    whole[:, :outputs] = weight
    return np.ascontiguousarray(whole.reshape(-1, 2, panels, width).transpose(2, 0, 3, 1))


@cache
def product(width: int) -> Callable[[Words, Words], Sums] | None:
    """Return the product of (N, inputs) and ``packed`` weights: (N, panels * width), modulo 2^32.

    None if LLVM cannot compile it. The returned function takes contiguous arrays.
    """
    code = _code(width)
    name = machine_code.name_of("int16_product", code)
    address = machine_code.load(name) or machine_code.store(name, "product", code)
    if address is None:
        return None
    function = machine_code.function_at(address, "piipip")

    def call(x: Words, weight: Words) -> Sums:
        panels, pairs = weight.shape[:2]
        assert x.shape[1] == 2 * pairs
        assert x.flags.c_contiguous
        out = np.empty((len(x), panels * width), np.int32)
        if len(x):
            function(x.ctypes.data, len(x), pairs, weight.ctypes.data, panels, out.ctypes.data)
        return out

    return call


def _code(width: int) -> str:
    """Return the kernel for vectors of ``width`` sums.

    For each panel and each tile of rows, sums stay in registers while pairs of inputs go by. Rows
    beyond the last are the last once more.
    """
    sums, words = f"<{width} x i32>", f"<{2 * width} x i16>"
    instruction = f"{sums} @{_INSTRUCTIONS[width]}"
    rows = range(_ROWS)

    def each(*lines: str) -> str:
        return "\n".join(line.replace("#", str(row)) for row in rows for line in lines)

    starts = each(
        "%i# = add i64 %i, #",
        "%row# = call i64 @llvm.smin.i64(i64 %i#, i64 %last)",
        "%x_at# = mul i64 %row#, %pairs",
        "%x# = getelementptr i32, ptr %x, i64 %x_at#",
    )
    sums_before = each(f"%sum# = phi {sums} [zeroinitializer, %tile], [%next#, %pair]")
    steps = each(
        "%pair_at# = getelementptr i32, ptr %x#, i64 %k",
        "%one# = load i32, ptr %pair_at#, align 4",
        f"%first# = insertelement {sums} poison, i32 %one#, i64 0",
        f"%all# = shufflevector {sums} %first#, {sums} poison, {sums} zeroinitializer",
        f"%both# = bitcast {sums} %all# to {words}",
        f"%product# = call {instruction}({words} %both#, {words} %w)",
        f"%next# = add {sums} %sum#, %product#",
    )
    stores = each(
        "%out_row# = mul i64 %row#, %stride",
        "%out_at# = getelementptr i32, ptr %out_panel, i64 %out_row#",
        f"store {sums} %next#, ptr %out_at#, align 4",
    )
    return f"""
declare {instruction}({words}, {words})
declare i64 @llvm.smin.i64(i64, i64)

define i64 @product(ptr %x, i64 %rows, i64 %pairs, ptr %weight, i64 %panels, ptr %out) {{
start:
%last = sub i64 %rows, 1
%stride = mul i64 %panels, {width}
%panel_size = mul i64 %pairs, {width}
br label %panel
panel:
%p = phi i64 [0, %start], [%p_next, %panel_end]
%w_at = mul i64 %p, %panel_size
%w_panel = getelementptr i32, ptr %weight, i64 %w_at
%out_at = mul i64 %p, {width}
%out_panel = getelementptr i32, ptr %out, i64 %out_at
br label %tile
tile:
%i = phi i64 [0, %panel], [%i_next, %tile_end]
{starts}
br label %pair
pair:
%k = phi i64 [0, %tile], [%k_next, %pair]
{sums_before}
%w_pair = mul i64 %k, {width}
%w_pointer = getelementptr i32, ptr %w_panel, i64 %w_pair
%w = load {words}, ptr %w_pointer, align 4
{steps}
%k_next = add i64 %k, 1
%pairs_done = icmp eq i64 %k_next, %pairs
br i1 %pairs_done, label %tile_end, label %pair
tile_end:
{stores}
%i_next = add i64 %i, {_ROWS}
%tiles_done = icmp sge i64 %i_next, %rows
br i1 %tiles_done, label %panel_end, label %tile
panel_end:
%p_next = add i64 %p, 1
%panels_done = icmp eq i64 %p_next, %panels
br i1 %panels_done, label %end, label %panel
end:
ret i64 0
}}
"""
