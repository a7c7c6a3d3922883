"""Machine code of compiled loops on disk: found again without the compiler.

Importing numba and reading its own cache takes 1.5 s of a start; LLVM's loader takes a few
milliseconds for the same code. A file holds the code of one loop for one kind of arguments. Its
name is a hash of everything that the code depends on (the loop's bytecode and constants, versions,
the CPU and its features), it begins with a hash of its name and content, and it is written in one
step; a file that is damaged, another's, missing or cannot be written costs a compilation, nothing
else. Whoever may write into the folder may run code here, as with Python's own ``__pycache__``.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import OutputError
from bench.files import make_folder, user_cache, write_atomically

Address = int
_HASH_BYTES = 32
_LAYOUT = 2
"""Raised when files hold something else."""

_NEVER_CALLED = {
    "NRT_Free",
    "NRT_MemInfo_call_dtor",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
}
"""What numba's code refers to for exceptions and for memory that a loop owns. Loops have neither:
one that takes memory refers to other names too, and is left to numba."""

_ENGINES: list[Any] = []
"""Owners of the code that was loaded; it lives as long as the process."""


def folders() -> Iterator[Path]:
    """Yield where files may lie, the best place first."""
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(own)
        return
    yield Path(__file__).parent / "__pycache__"
    yield user_cache() / "loops"


def name_of(loop: str, identity: str) -> str:
    """Return the name of the file with a loop's code on this machine.

    Parameters
    ----------
    loop
        Its name, for people.
    identity
        All that decides what the code does and how it is called.
    """
    whole = repr((_LAYOUT, identity, _environment())).encode()
    return f"{loop}-{hashlib.sha256(whole).hexdigest()[:24]}.loop"


@cache
def _environment() -> tuple[str, ...]:
    """Return versions, CPU and the CPU's features."""
    from importlib.metadata import version

    from llvmlite import binding

    cpu, features = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    triple = binding.get_process_triple()
    return sys.version, version("numba"), version("llvmlite"), triple, cpu, features


def load(name: str) -> Address | None:
    """Return the address of a loop whose code is on disk, whole and complete, else None."""
    for folder in folders():
        try:
            data = (folder / name).read_bytes()
        except (OSError, ValueError):
            continue
        content = data[_HASH_BYTES:]
        if content and _hash_of(name, content) == data[:_HASH_BYTES]:
            return _linked(content)
    return None


def _hash_of(name: str, content: bytes) -> bytes:
    """Return what a file of that name begins with: under another name it is not accepted."""
    return hashlib.sha256(name.encode() + b"\n" + content).digest()


def store(name: str, symbol: str, intermediate: str) -> Address | None:
    """Compile LLVM's intermediate code, write the machine code where that can be, and load it.

    Returns None where the code refers to what only numba can give.

    Parameters
    ----------
    name
        From ``name_of``.
    symbol
        The function in it that will be called.
    intermediate
        LLVM's text.
    """
    from llvmlite import binding

    module = binding.parse_assembly(intermediate)
    named = (*module.functions, *module.global_variables)
    outside = [one.name for one in named if one.is_declaration]
    wanted = [word for word in outside if not word.startswith("llvm.")]
    head = json.dumps({"symbol": symbol, "outside": wanted}).encode()
    content = head + b"\n" + _target_machine().emit_object(module)
    for folder in folders():
        with contextlib.suppress(OutputError):
            data = _hash_of(name, content) + content
            write_atomically(make_folder(folder) / name, data)
            break
    return _linked(content)


def _linked(content: bytes) -> Address | None:
    """Return the address of a file's function in memory, ready to run; None: it lacks something."""
    from llvmlite import binding

    head, _, code = content.partition(b"\n")
    facts = json.loads(head)
    if not all(map(_resolved, facts["outside"])):
        return None
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    return int(engine.get_function_address(facts["symbol"]))


def _resolved(name: str) -> bool:
    """Return whether LLVM knows where a name that code refers to lies, and tell it where we can."""
    from llvmlite import binding

    if binding.address_of_symbol(name) is not None:
        return True
    here, there = (
        (ctypes.CDLL(None), "abort") if name in _NEVER_CALLED else (ctypes.pythonapi, name)
    )
    try:
        binding.add_symbol(name, ctypes.addressof(ctypes.c_char.in_dll(here, there)))
    except ValueError:
        return False
    return True


def _target_machine() -> Any:  # noqa: ANN401 - llvmlite is untyped
    from llvmlite import binding

    with contextlib.suppress(RuntimeError):  # newer versions need no such call and refuse it
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


def function_at(address: Address, arguments: str) -> Any:  # noqa: ANN401 - of many signatures
    """Return the function at an address; it runs without the interpreter's lock.

    Parameters
    ----------
    address
        Where it is.
    arguments
        A letter for each of its arguments: p pointer, i 64-bit integer, d double. It returns a
        64-bit integer.
    """
    kinds = {"p": ctypes.c_void_p, "i": ctypes.c_int64, "d": ctypes.c_double}
    return ctypes.CFUNCTYPE(ctypes.c_int64, *(kinds[letter] for letter in arguments))(address)
