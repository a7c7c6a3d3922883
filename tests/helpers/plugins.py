"""A codec that misbehaves on demand, installed as another package would install it."""

from __future__ import annotations

from pathlib import Path

CODE = '''
"""Raw pixels with faults: chosen by the setting, for tests of the harness."""
import os, signal, struct, time
import numpy as np
from bench.codec import Codec, Parameter, Setting
from bench.errors import DecodeError

class Faulty(Codec):
    name = "faulty"
    rate = "step"
    in_default_run = False
    parameters = (
        Parameter("step", 1, "quantiser step", low=1, high=64),
        Parameter("fault", "none", "what goes wrong",
                  choices=("none", "crash", "raise", "shape", "memory", "slow")),
        Parameter("at", 8, "the step at which it goes wrong", low=1, high=64),
    )
    def ladder(self):
        return [Setting(step=s) for s in (32, 16, 8, 4, 2)]
    def version(self):
        return "faulty 1"
    def encode(self, image, setting):
        step = int(setting["step"])
        if setting["fault"] == "slow":
            time.sleep(0.15)
        elif step == setting["at"] and setting["fault"] == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif step == setting["at"] and setting["fault"] == "raise":
            raise ZeroDivisionError("a bug in a plug-in")
        elif step == setting["at"] and setting["fault"] == "memory":
            raise MemoryError
        import zlib
        body = zlib.compress(((image // step)).tobytes(), 1)
        wrong = int(step == setting["at"] and setting["fault"] == "shape")
        h, w = image.shape[:2]
        return struct.pack(">HHBB", h, w, step, wrong) + body
    def decode(self, data):
        import zlib
        h, w, step, wrong = struct.unpack(">HHBB", data[:6])
        try:
            flat = np.frombuffer(zlib.decompress(data[6:]), np.uint8)
        except zlib.error as error:
            raise DecodeError(f"damaged: {error}") from error
        if flat.size != 3 * h * w:
            raise DecodeError("wrong size")
        picture = np.minimum(flat.reshape(h, w, 3).astype(int) * step + step // 2, 255)
        picture = picture.astype(np.uint8)
        return picture[:-1] if wrong else picture
'''


def install(folder: Path) -> Path:
    """Write the package ``faulty`` with its entry point into ``folder``; return ``folder``."""
    (folder / "faulty.py").write_text(CODE)
    info = folder / "faulty_codec-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-codec\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.codecs]\nfaulty = faulty:Faulty\n")
    return folder
