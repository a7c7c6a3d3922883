"""Loops compiled by numba: one decorator for all of them.

A loop takes C-contiguous arrays and numbers, and returns nothing, a truth value or an integer. It
is compiled once for each kind of arguments, and ``machine_code.py`` keeps the result: a process
that finds all of it there never imports numba.
"""

from __future__ import annotations

import ctypes
import dis
import os
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.image import machine_code

F = TypeVar("F", bound=Callable[..., Any])
Kind = tuple[np.dtype[Any], int] | type

_INT64 = np.iinfo(np.int64)
_RESULTS: dict[str, Callable[[int], int | bool | None]] = {
    "None": lambda _: None,
    "bool": bool,
    "int": int,
}
"""Return annotation -> what is made of the 64-bit integer that a loop's code returns."""


def compiled(function: F) -> F:
    """Return ``function`` compiled by numba, without the GIL, kept on disk where that can be."""
    return cast("F", Loop(function))


def compiled_fused(function: F) -> F:
    """Return ``function`` compiled likewise; products and sums may be fused, rounded once."""
    return cast("F", Loop(function, fused=True))


def inlined(function: F) -> F:
    """Return ``function`` compiled for loops that call it: each has a copy of its code."""
    return cast("F", Loop(function, inlined=True))


class Loop:
    """A function of arrays and numbers that is compiled when it is first called.

    Attributes
    ----------
    py_func
        The function as it was written.
    fused
        Whether products and sums may be fused, which rounds them once.
    inlined
        Whether a loop that calls it has a copy of its code.
    """

    def __init__(
        self, function: Callable[..., Any], *, fused: bool = False, inlined: bool = False
    ) -> None:
        assert isinstance(function, FunctionType)
        self.py_func, self.fused, self.inlined = function, fused, inlined
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._ready: dict[tuple[Kind, ...], Callable[..., Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - as the function
        """Return what the function returns."""
        kinds = tuple(map(_kind, arguments))
        call = self._ready.get(kinds)
        if call is None:
            with self._lock:
                call = self._ready.get(kinds)  # another thread may have made it meanwhile
                if call is None:
                    call = self._ready[kinds] = self._made(kinds)
        return call(*arguments)

    @cached_property
    def by_numba(self) -> Callable[..., Any]:
        """The function compiled by numba alone, with the loops that it calls."""
        return _compiled_by_numba(self)

    def _made(self, kinds: tuple[Kind, ...]) -> Callable[..., Any]:
        """Return what a call with such arguments runs."""
        result = _RESULTS.get(self.py_func.__annotations__.get("return", ""))
        if object in kinds or result is None or _settings_of_numba() or _raises(self):
            return self.by_numba
        words = [
            kind.__name__ if isinstance(kind, type) else (kind[0].str, kind[1]) for kind in kinds
        ]
        steps = (_intermediate, _compiled_by_numba)
        how = [_plain(step.__code__) for step in steps]
        name = machine_code.name_of(self.__name__, repr((words, _identity(self), how)))
        address = machine_code.load(name)
        if address is None:
            address = machine_code.store(name, *_intermediate(self, kinds))
        return self.by_numba if address is None else _caller(address, kinds, result)


class Intrinsic(Loop):
    """What a loop calls for instructions that Python has no words for.

    Parameters
    ----------
    function
        The same in Python.
    emit
        Returns what numba's ``intrinsic`` takes.
    helpers
        Other functions that decide what becomes of it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        emit: Callable[[], Callable[..., Any]],
        *helpers: Callable[..., Any],
    ) -> None:
        super().__init__(function)
        self._emit = emit
        self.made_by = [_plain(cast("Any", one).__code__) for one in (emit, *helpers)]

    @cached_property
    def by_numba(self) -> Callable[..., Any]:
        """LLVM's instructions for it."""
        import numba
        from numba.extending import intrinsic

        compiler: Any = numba
        if compiler.config.DISABLE_JIT:
            return self.py_func
        return cast("Callable[..., Any]", intrinsic(prefer_literal=True)(self._emit()))


def _prefetch(values: Any, i: Any) -> None:  # noqa: ANN401
    """Ask for the line of the cache that holds element ``i``; any ``i`` is allowed."""


def _prefetch_by_numba() -> Callable[..., Any]:
    import numba
    from llvmlite import ir

    compiler: Any = numba
    number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])

    def prefetch(_: Any, values: Any, i: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.bitcast(builder.gep(array.data, [arguments[1]]), pointer)
            insert = compiler.core.cgutils.get_or_insert_function
            function = insert(builder.module, kind, "llvm.prefetch.p0")
            # To read; into the second-level cache; data.
            builder.call(function, [place, *(number(word) for word in (0, 2, 1))])
            return context.get_dummy_value()

        return compiler.types.void(values, i), generate

    return prefetch


def _compiled_by_numba(loop: Loop) -> Callable[..., Any]:
    import numba

    function = loop.py_func
    inner = {name: used.by_numba for name, used in _used(function) if isinstance(used, Loop)}
    space = function.__globals__ | inner
    fast: set[str] = {"contract"} if loop.fused else set()
    options: dict[str, Any] = {"fastmath": fast or False, "forceinline": loop.inlined}
    njit = numba.njit(nogil=True, error_model="numpy", **options)
    return cast("Callable[..., Any]", njit(FunctionType(function.__code__, space, loop.__name__)))


def _intermediate(loop: Loop, kinds: tuple[Kind, ...]) -> tuple[str, str]:
    """Return the name and LLVM's code of a C function that calls the loop.

    An array is a pointer and its sides.
    """
    import numba

    compiler: Any = numba  # its annotations are not of what it takes
    parameters, values, types = [], [], []
    for i, kind in enumerate(kinds):
        parameters.append(f"a{i}")
        if isinstance(kind, type):
            values.append(f"a{i}")
            types.append(compiler.float64 if kind is float else compiler.int64)
            continue
        sides = [f"a{i}_{axis}" for axis in range(kind[1])]
        parameters += sides
        values.append(f"carray(a{i}, ({', '.join(sides)},))")
        element = compiler.from_dtype(kind[0])
        types += [compiler.types.CPointer(element), *[compiler.int64] * kind[1]]
    nothing = loop.py_func.__annotations__["return"] == "None"
    body = "loop({}); return 0" if nothing else "return int(loop({}))"
    source = f"def entry({', '.join(parameters)}): {body.format(', '.join(values))}"
    space: dict[str, Any] = {"loop": loop.by_numba, "carray": compiler.carray}
    exec(source, space)  # noqa: S102 - made here, of indices
    signature = compiler.int64(*types)
    made = compiler.cfunc(signature, nopython=True, error_model="numpy")(space["entry"])
    return made.native_name, made.inspect_llvm()


def _kind(argument: Any) -> Kind:  # noqa: ANN401
    """Return type and axes of an array, or the type of a number; object: neither."""
    if type(argument) is np.ndarray:
        good = argument.flags.carray or (argument.flags.c_contiguous and argument.flags.aligned)
        return (argument.dtype, argument.ndim) if good and argument.ndim else object
    if isinstance(argument, float):
        return float
    if isinstance(argument, int | np.integer):
        return int if _INT64.min <= argument <= _INT64.max else object
    return object


def _caller(
    address: int, kinds: tuple[Kind, ...], result: Callable[[int], Any]
) -> Callable[..., Any]:
    """Return a function that calls machine code with such arguments."""
    letters = "".join(
        ("d" if kind is float else "i") if isinstance(kind, type) else "p" + "i" * kind[1]
        for kind in kinds
    )
    function = machine_code.function_at(address, letters)

    def call(*arguments: Any) -> Any:  # noqa: ANN401
        flat: list[int | float] = []
        for argument in arguments:
            if type(argument) is np.ndarray:
                flat.append(_pointer(argument))
                flat.extend(argument.shape)
            else:
                flat.append(argument)
        return result(function(*flat))

    return call


def _pointer(array: NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or empty; slower
        return int(array.ctypes.data)


def _settings_of_numba() -> bool:
    """Return whether the user asks numba for something: no compiling, checks of bounds.

    That is what the environment says, or numba's own file in the current folder.
    """
    harmless = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS")
    named = any(name.startswith("NUMBA_") and name not in harmless for name in os.environ)
    return named or Path(".numba_config.yaml").is_file()


def _raises(loop: Loop) -> bool:
    """Return whether a loop, or one that it calls, has a statement that raises.

    A C function cannot: it would return 0.
    """
    operations = loop.py_func.__code__.co_code[::2]  # each before its argument
    here = dis.opmap["RAISE_VARARGS"] in operations
    return here or any(_raises(v) for _, v in _used(loop.py_func) if isinstance(v, Loop))


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a function reads."""
    for name in sorted({*function.__code__.co_names} & {*function.__globals__}):
        yield name, function.__globals__[name]


def _identity(loop: Loop) -> list[Any]:
    """Return all that decides what a loop computes: its code, its constants, what it calls."""
    function = loop.py_func
    parts: list[Any] = [function.__annotations__.get("return"), *_plain(function.__code__)]
    parts += [loop.fused, loop.inlined]
    parts += loop.made_by if isinstance(loop, Intrinsic) else []
    for name, value in _used(function):
        if isinstance(value, Loop):
            parts.append((name, _identity(value)))
        elif isinstance(value, bool | int | float | np.generic):
            parts.append((name, type(value).__name__, repr(value)))
        elif value is not np:
            raise TypeError(f"{function.__name__} reads {name}: neither a number nor a loop")
    return parts


def _plain(code: CodeType) -> list[Any]:
    """Return what a code object does, without where it was written."""
    constants = [_plain(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code, constants, code.co_names, code.co_varnames, code.co_argcount]


prefetch = Intrinsic(_prefetch, _prefetch_by_numba)
