"""Sixteen numbers at once in compiled loops: loaded, stored and shifted, added and multiplied.

Such a loop is vector instructions whatever the compiler makes of loops over single numbers: no
checks whether arrays overlap, no remainders. Arithmetic is that of single numbers, lane by lane.
Without numba's compiler they are NumPy's arrays of 16.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np

from bench.image.numba_jit import Intrinsic

Lanes = Any  # 16 numbers of float32 or of float64


def _load(values: Any, i: Any) -> Lanes:  # noqa: ANN401
    """Return the 16 elements from ``i`` on: of float64 as they are, others as float32."""
    return values[int(i) : int(i) + 16].astype(np.result_type(values.dtype, np.float32))


def _store(values: Any, i: Any, lanes: Lanes) -> None:  # noqa: ANN401
    """Write 16 elements from ``i`` on, rounded to what the array holds."""
    values[int(i) : int(i) + 16] = lanes


def _shifted(first: Lanes, second: Lanes, by: int) -> Lanes:
    """Return the 16 of ``first`` and then ``second`` from a constant place on."""
    return np.concatenate((first, second))[by : by + 16]


def _plus_product(lanes: Lanes, first: Any, second: Any) -> Lanes:  # noqa: ANN401
    """Return ``lanes + first * second``, rounded once where the CPU has an instruction for it."""
    return lanes + first * second


def _minus_product(lanes: Lanes, first: Any, second: Any) -> Lanes:  # noqa: ANN401
    """Return ``lanes - first * second``, likewise."""
    return lanes - first * second


def _doubles(lanes: Lanes) -> Lanes:
    """Return 16 numbers of float32 as float64."""
    return lanes.astype(np.float64)


def _all_lanes(builder: Any, value: Any) -> Any:  # noqa: ANN401
    """Return LLVM's vector of 16 numbers; a single one stands for all of them."""
    from llvmlite import ir

    if isinstance(value.type, ir.VectorType):
        return value
    none = ir.Constant(ir.VectorType(value.type, 16), ir.Undefined)
    first = builder.insert_element(none, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, none, ir.VectorType(ir.IntType(32), 16)([0] * 16))


@cache
def _kind_of() -> Callable[[Any], Any]:
    """Return what makes numba's type of 16 numbers, which adds, multiplies and divides."""
    from llvmlite import ir
    from numba import extending, types
    from numba.core.typing import templates

    extend, infer_global = cast("Any", extending), cast("Any", templates).infer_global
    words = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}

    class Kind(types.Type):
        def __init__(self, element: Any) -> None:  # noqa: ANN401
            super().__init__(f"lanes({element})")
            self.dtype = element

    def model(manager: Any, kind: Any) -> Any:  # noqa: ANN401
        return extend.models.PrimitiveModel(manager, kind, ir.VectorType(words[kind.dtype], 16))

    extend.register_model(Kind)(model)

    def let(function: Any, instruction: str) -> None:  # noqa: ANN401
        class Template(templates.AbstractTemplate):
            def generic(self, args: Any, kws: Any) -> Any:  # noqa: ANN401
                kinds = [one for one in args if isinstance(one, Kind)]
                if kinds and not kws and {getattr(o, "dtype", o) for o in args} == {kinds[0].dtype}:
                    return kinds[0](*args)
                return None

        infer_global(function)(Template)

        def lower(_: Any, builder: Any, __: Any, args: Any) -> Any:  # noqa: ANN401
            both = [_all_lanes(builder, one) for one in args]
            return getattr(builder, instruction)(*both)

        for kinds in ((Kind, Kind), (types.Float, Kind), (Kind, types.Float)):
            extend.lower_builtin(function, *kinds)(lower)

    let(operator.add, "fadd")
    let(operator.iadd, "fadd")
    let(operator.sub, "fsub")
    let(operator.mul, "fmul")
    let(operator.truediv, "fdiv")
    return Kind


def _load_by_numba() -> Callable[..., Any]:
    import numba
    from llvmlite import ir

    types: Any = numba.types

    def load(_: Any, values: Any, i: Any) -> Any:  # noqa: ANN401
        result = _kind_of()(types.float64 if values.dtype == types.float64 else types.float32)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(array.data, [arguments[1]])
            stored = ir.VectorType(context.get_data_type(values.dtype), 16)
            size = values.dtype.bitwidth // 8
            lanes = builder.load(builder.bitcast(place, stored.as_pointer()), align=size)
            if isinstance(values.dtype, types.Integer):
                whole = builder.zext(lanes, ir.VectorType(ir.IntType(32), 16))
                lanes = builder.sitofp(whole, ir.VectorType(ir.FloatType(), 16))
            return lanes

        return result(values, i), generate

    return load


def _store_by_numba() -> Callable[..., Any]:
    import numba
    from llvmlite import ir

    compiler: Any = numba

    def store(_: Any, values: Any, i: Any, lanes: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place, value = builder.gep(array.data, [arguments[1]]), arguments[2]
            stored = ir.VectorType(context.get_data_type(values.dtype), 16)
            if lanes.dtype != values.dtype:
                value = builder.fptrunc(value, stored)
            size = values.dtype.bitwidth // 8
            builder.store(value, builder.bitcast(place, stored.as_pointer()), align=size)
            return context.get_dummy_value()

        return compiler.types.void(values, i, lanes), generate

    return store


def _shifted_by_numba() -> Callable[..., Any]:
    from llvmlite import ir

    def shifted(_: Any, first: Any, second: Any, by: Any) -> Any:  # noqa: ANN401
        places = [*range(by.literal_value, by.literal_value + 16)]

        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
            mask = ir.VectorType(ir.IntType(32), 16)(places)
            return builder.shuffle_vector(*arguments[:2], mask)

        return first(first, second, by), generate

    return shifted


def _product_by_numba(*, minus: bool) -> Callable[..., Any]:
    from llvmlite import ir

    def product(_: Any, lanes: Any, first: Any, second: Any) -> Any:  # noqa: ANN401
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
            c, a, b = (_all_lanes(builder, one) for one in arguments)
            a = builder.fneg(a) if minus else a
            kind = ir.FunctionType(c.type, [c.type] * 3)
            name = f"llvm.fmuladd.v16f{lanes.dtype.bitwidth}"
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            return builder.call(function, [a, b, c])

        alike = {getattr(one, "dtype", one) for one in (lanes, first, second)} == {lanes.dtype}
        return (lanes(lanes, first, second), generate) if alike else None

    return product


def _doubles_by_numba() -> Callable[..., Any]:
    import numba
    from llvmlite import ir

    compiler: Any = numba

    def doubles(_: Any, lanes: Any) -> Any:  # noqa: ANN401
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:  # noqa: ANN401
            return builder.fpext(arguments[0], ir.VectorType(ir.DoubleType(), 16))

        return _kind_of()(compiler.types.float64)(lanes), generate

    return doubles


_HELPERS = _kind_of.__wrapped__, _all_lanes

load = Intrinsic(_load, _load_by_numba, *_HELPERS)
store = Intrinsic(_store, _store_by_numba, *_HELPERS)
shifted = Intrinsic(_shifted, _shifted_by_numba)
doubles = Intrinsic(_doubles, _doubles_by_numba, *_HELPERS)
plus_product = Intrinsic(
    _plus_product, lambda: _product_by_numba(minus=False), _product_by_numba, _all_lanes
)
minus_product = Intrinsic(
    _minus_product, lambda: _product_by_numba(minus=True), _product_by_numba, _all_lanes
)
