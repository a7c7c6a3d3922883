"""Codecs that do what no codec should, installed as another package would install them.

Each fails at the step 16 of its ladder and is sound at the others, so that a run shows whether
one cell alone is lost; those of ``CEILING`` fail at their first step. Those in
``BROKEN`` cannot even be made.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.codec import Codec, Setting
from bench.errors import CodecFailed, DecodeError, EncodeError

BAD = 16


class Sound(Codec):
    """Quantised raw pixels."""

    name = "h-sound"
    in_default_run = False

    def ladder(self):
        return [Setting(step=s) for s in (64, 32, BAD, 8)]

    def version(self):
        return "hostile 1"

    def encode(self, image, setting):
        step, (height, width) = setting["step"], image.shape[:2]
        head = bytes([step]) + height.to_bytes(4) + width.to_bytes(4)
        return head + zlib.compress((image // step).tobytes())

    def decode(self, data):
        step, height, width = data[0], int.from_bytes(data[1:5]), int.from_bytes(data[5:9])
        flat = np.frombuffer(zlib.decompress(data[9:]), np.uint8)
        return flat.reshape(height, width, 3) * step + step // 2


class BadText(Exception):
    def __str__(self):
        raise SystemExit(0)


class NeedsArguments(BaseException):
    def __init__(self, _one, _two):
        super().__init__("two arguments")


def throw(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    def raising(*_: object) -> None:
        raise error

    return raising


def recurse(*_):
    return recurse(*_)


def eat_memory(*_):
    kept = []
    while True:
        kept.append(np.ones(1 << 24, np.uint8))
        time.sleep(0.002)


def swallow(*_):
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass


def write_by_flag(image):
    image.flags.writeable = True
    image[:] = 128


def write_by_address(image):
    ctypes.memset(image.ctypes.data, 128, image.nbytes)


def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1e5)
        os._exit(0)


def write_everywhere():
    for number in range(3, 64):
        try:
            os.set_blocking(number, False)
            os.write(number, b"\xff\xfe garbage \x00" * 9)
        except OSError:
            pass


def noise():
    print("\x1b[31mGARBAGE" * 50)
    sys.stderr.write("garbage" * 50)
    os.write(1, b"\xff\xfe" * 50)


def change_process():
    os.chdir("/")
    os.environ.clear()
    np.seterr(all="raise")


def change_libraries():
    for module, names in ((np, "mean sum array_equal square"), (json, "dumps loads")):
        for name in names.split():
            setattr(module, name, None)
    zlib.compress = bytes
    Sound.decode = None


def swap_picture(image):
    if image[0, 0, 0] == 1:  # while the first picture is coded
        shutil.copy(os.environ["HOSTILE_FROM"], os.environ["HOSTILE_TO"])


# What happens instead of encoding.
INSTEAD: dict[str, Callable[..., Any]] = {
    "exit": lambda: sys.exit(0),
    "exit-text": throw(SystemExit("done")),
    "interrupt": throw(KeyboardInterrupt),
    "generator": throw(GeneratorExit),
    "arguments": throw(NeedsArguments(1, 2)),
    "stop": throw(StopIteration),
    "bad-text": throw(BadText()),
    "surrogate": throw(ValueError("bad \udcff name")),
    "controls": throw(ValueError("a\x00b\x1b[31m\x07\u202e </script>")),
    "long": throw(ValueError("x" * 5_000_000)),
    "recursion": recurse,
    "os-exit": lambda: os._exit(0),
    "segv": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "stop-process": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda: time.sleep(1e6),
    "hang-lock": lambda: ctypes.PyDLL(None).sleep(100_000),
    "swallow": swallow,
    "memory": eat_memory,
    "memory-error": throw(MemoryError),
    "refuse": throw(EncodeError("not this picture")),
    "own-kind": throw(CodecFailed("identical bytes")),
    "no-kind": throw(CodecFailed("")),
    "text": lambda: "abc",
    "number": lambda: 5,
    "nothing": lambda: None,
    "empty": lambda: b"",
    "huge": lambda: bytes(999_000_001),
    "close": lambda: os.closerange(3, 256),
    "everywhere": write_everywhere,
}
# What happens before encoding.
BEFORE: dict[str, Callable[..., Any]] = {
    "write": lambda image: image.fill(128),
    "write-flag": write_by_flag,
    "write-address": write_by_address,
    "fork": lambda _: os.fork(),
    "daemon": lambda _: daemon(),
    "thread": lambda _: threading.Thread(target=time.sleep, args=(1e5,)).start(),
    "noise": lambda _: noise(),
    "process": lambda _: change_process(),
    "patch": lambda _: change_libraries(),
    "swap": swap_picture,
    "remove": lambda _: shutil.rmtree(os.environ["HOSTILE_OUT"]),
    "slow": lambda _: time.sleep(0.3),
}
# What happens instead of decoding.
DECODE: dict[str, Callable[..., Any]] = {
    "d-exit": lambda _: sys.exit(0),
    "d-interrupt": throw(KeyboardInterrupt),
    "d-os-exit": lambda _: os._exit(0),
    "d-segv": lambda _: ctypes.string_at(0),
    "d-hang": lambda _: time.sleep(1e6),
    "d-hang-lock": lambda _: ctypes.PyDLL(None).sleep(100_000),
    "d-memory": eat_memory,
    "d-refuse": throw(DecodeError("damaged")),
    "d-shape": lambda image: image[:-1],
    "d-type": lambda image: image.astype(float),
    "d-list": lambda image: image.tolist(),
    "d-nothing": lambda _: None,
    "d-empty": lambda image: image[:0],
}


class Remembers(Sound):
    """Keeps the picture instead of coding it; subclasses say where."""

    kept: ClassVar[list[Any]] = []

    def encode(self, image, setting):
        if setting["step"] != BAD:
            return super().encode(image, setting)
        self.own = image.copy()
        type(self).shared = self.own
        Remembers.kept.append(self.own)
        sys.modules["os"].kept_picture = self.own
        return b"\x10"

    def decode(self, data):
        return super().decode(data) if len(data) > 1 else self.recall()


def search(_):
    """Look for any picture in the memory of the process."""
    return next(a for a in gc.get_objects() if isinstance(a, np.ndarray) and a.ndim == 3)


RECALL: dict[str, Callable[..., Any]] = {
    "m-self": lambda self: self.own,
    "m-class": lambda self: type(self).shared,
    "m-list": lambda _: Remembers.kept[-1],
    "m-module": lambda _: sys.modules["os"].kept_picture,
    "m-search": search,
    "m-worker": lambda _: (
        next(iter(sys.modules["bench.measurement.pictures"]._images.values())).image
    ),
}
CEILING: dict[str, Callable[..., Any]] = {
    "c-exit": lambda _: sys.exit(0),
    "c-write": lambda image: image.fill(128) or image,
    "c-text": lambda _: "no picture",
}
BROKEN: dict[str, dict[str, Any]] = {
    "b-init": {"__init__": throw(RuntimeError("no start"))},
    "b-init-exit": {"__init__": throw(SystemExit(0))},
    "b-os-exit": {"__init__": lambda _: os._exit(0)},
    "b-segv": {"version": lambda _: ctypes.string_at(0)},
    "b-version": {"version": throw(SystemExit(0))},
    "b-version-type": {"version": lambda _: 5},
    "b-empty": {"ladder": lambda _: []},
    "b-ladder": {"ladder": lambda _: [{"step": 5}]},
    "b-label": {"label": throw(KeyboardInterrupt)},
    "b-describe": {"describe": lambda *_: b"bytes"},
    "b-suffix": {"suffix": None},
    "jpeg": {},
}


def _make(word: str) -> type[Codec]:
    members: dict[str, Any] = {"name": word if word == "jpeg" else f"h-{word}"}
    if word in INSTEAD or word in BEFORE:

        def encode(self, image, setting):
            if setting["step"] == BAD and word in INSTEAD:
                return INSTEAD[word]()
            if setting["step"] == BAD:
                BEFORE[word](image)
            return Sound.encode(self, image, setting)

        members["encode"] = encode
    elif word in DECODE:

        def decode(self, data):
            image = Sound.decode(self, data)
            return DECODE[word](image) if data[0] == BAD else image

        members["decode"] = decode
    elif word in CEILING:
        members["ceiling"] = lambda _, image, _setting: CEILING[word](image)
    else:
        members |= BROKEN.get(word, {"recall": RECALL.get(word)})
    return type(word, (Remembers if word in RECALL else Sound,), members)


WORDS = [*INSTEAD, *BEFORE, *DECODE, *RECALL, *CEILING, *BROKEN]
for _word in WORDS:
    globals()[_word.replace("-", "_")] = _make(_word)


def install(folder: Path) -> Path:
    """Write this module with its entry points into ``folder``; return ``folder``."""
    shutil.copy(__file__, folder / "hostile_codecs.py")
    (folder / "hostile_exits.py").write_text("raise SystemExit(0)\n")
    (folder / "hostile_ends.py").write_text("import os\nos._exit(0)\n")
    info = folder / "hostile_codecs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-codecs\nVersion: 1.0\n")
    points = [f"h-{word} = hostile_codecs:{word.replace('-', '_')}" for word in WORDS]
    points += ["h-sound = hostile_codecs:Sound", "h-exits = hostile_exits:Codec"]
    points += ["h-ends = hostile_ends:Codec"]
    (info / "entry_points.txt").write_text("\n".join(["[bench.codecs]", *points, ""]))
    return folder
