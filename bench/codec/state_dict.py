"""Checkpoints: from the bytes of a file to a network in evaluation mode, or one line why not.

Nothing of a file is executed: ``torch.load`` runs with ``weights_only=True`` alone. The options
and losses of a training script (``argparse.Namespace``, NumPy's numbers) are let in.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bench.errors import BenchError, Unavailable, one_line

_WRAPPERS = ("state_dict", "network", "model_state_dict", "model")
"""Where training scripts put the state dictionary among the rest; the first three CompressAI's."""

_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_TABLES = ("_quantized_cdf", "_offset", "_cdf_length", "scale_table")
"""Buffers of CompressAI's entropy models, which ``update`` computes from the parameters."""

_LISTED = 3


def read_state(data: bytes, name: str) -> dict[str, Any]:
    """Return the state dictionary of a file, without wrappers and without prefixes.

    Parameters
    ----------
    data
        Of the whole file, as ``torch.save`` or safetensors wrote it.
    name
        Of the file, for errors; its suffix tells safetensors.

    Raises
    ------
    Unavailable
        If it is damaged, wants to execute code, holds no state dictionary or several, or numbers
        that are not finite.
    """
    found = _load(data, name)
    for _ in range(2):
        inner = [word for word in _WRAPPERS if isinstance(_get(found, word), Mapping)]
        if len(inner) > 1:
            raise Unavailable(
                f"{name} holds several state dictionaries: {', '.join(inner)}",
                "Save the one that is meant: torch.save(net.state_dict(), FILE).",
            )
        found = found[inner[0]] if inner else found
    import torch

    if not isinstance(found, Mapping) or not any(torch.is_tensor(v) for v in found.values()):
        raise Unavailable(
            f"{name} holds no state dictionary: found {_words_of(found)}",
            "Save one: torch.save(net.state_dict(), FILE).",
        )
    state = {str(key): value for key, value in found.items()}
    for prefix in (*_PREFIXES, *_PREFIXES):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    broken = [
        key
        for key, value in state.items()
        if torch.is_tensor(value) and value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise Unavailable(f"{name} holds numbers that are not finite, in {_some(broken)}")
    return state


def _get(found: Any, word: str) -> Any:  # noqa: ANN401 - whatever the file holds
    return found.get(word) if isinstance(found, Mapping) else None


def _words_of(found: Any) -> str:  # noqa: ANN401 - whatever the file holds
    if isinstance(found, Mapping):
        return f"a dictionary of {_some([one_line(repr(key), 40) for key in found]) or 'nothing'}"
    return f"an object of {type(found).__name__}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _load(data: bytes, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    if name.endswith(".safetensors"):
        import safetensors
        import safetensors.torch

        try:
            return safetensors.torch.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError) as error:
            raise Unavailable(f"{name} is damaged: {one_line(error, 200)}") from error
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), "cpu", weights_only=True)
    except Exception as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and wanted:
            raise Unavailable(
                f"{name} holds more than tensors and would execute code when loaded, which is "
                f"refused: {one_line(wanted[1], 120)}",
                "Save the state dictionary alone: torch.save(net.state_dict(), FILE).",
            ) from error
        raise Unavailable(f"{name} is damaged, or no file of torch.save") from error


def _harmless() -> list[Any]:
    """Return what training scripts put beside the tensors and does nothing when it is made."""
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_)
    scalar: Any = np.float64(0).__reduce__()[0]
    return [argparse.Namespace, scalar, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]


def build(make: Callable[[dict[str, Any]], Any], state: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - an untyped torch module
    """Return the network that ``make`` builds of a state dictionary, in evaluation mode.

    The tables of its entropy models are computed anew, as CompressAI's own evaluation does:
    those in the file may be older than the weights.

    Raises
    ------
    Unavailable
        If it fails, or the network and the dictionary do not match in every name: a part that
        keeps its random initial weights gives numbers that look right.
    """
    import torch

    loaded: list[tuple[list[str], list[str]]] = []
    try:
        with warnings.catch_warnings(), _recorded(loaded):
            warnings.simplefilter("ignore")
            net = make(dict(state))
            _check_match(loaded, name)
            if hasattr(net, "update"):
                _update(net)
    except BenchError:
        raise
    except Exception as error:
        words = one_line(f"{type(error).__name__}: {error}", 400)
        raise Unavailable(f"{name} does not fit the network ({words})") from error
    if not isinstance(net, torch.nn.Module):
        raise Unavailable(f"{name}: wanted a torch.nn.Module, found {type(net).__name__}")
    return net.eval()


def _check_match(loaded: list[tuple[list[str], list[str]]], name: str) -> None:
    if not loaded:
        raise Unavailable(
            f"{name}: the network was built without load_state_dict, its weights would be random"
        )
    for missing, unexpected in loaded:
        lacking = [key for key in missing if not key.endswith(_TABLES)]
        faults = [f"it lacks {_some(lacking)}"] if lacking else []
        faults += [f"{_some(unexpected)} of it are not used"] if unexpected else []
        if faults:
            raise Unavailable(f"{name} fits the network in part: {'; '.join(faults)}")


def _update(net: Any) -> None:  # noqa: ANN401 - an untyped torch module
    try:
        net.update(force=True)
    except TypeError:
        net.update()


@contextlib.contextmanager
def _recorded(loaded: list[tuple[list[str], list[str]]]) -> Iterator[None]:
    """Append the missing and the unexpected names of every ``load_state_dict`` meanwhile."""
    import torch

    original = torch.nn.Module.load_state_dict

    def recording(self: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as torch's
        result = original(self, *args, **options)
        loaded.append((list(result.missing_keys), list(result.unexpected_keys)))
        return result

    torch.nn.Module.load_state_dict = recording  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.nn.Module.load_state_dict = original  # type: ignore[method-assign]
