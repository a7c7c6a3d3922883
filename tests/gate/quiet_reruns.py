"""Run ``bench check`` again and again on an unchanged tree and count alarms; figures for the docs.

python tests/gate/quiet_reruns.py 20 --codec jpeg --codec webp

What follows the number goes to ``bench check``. Every second run has the vector extensions of
PyTorch, oneDNN, NumPy, OpenCV and libjpeg-turbo switched off, as on another CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

WITHOUT_EXTENSIONS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "OPENCV_CPU_DISABLE": "AVX512_SKX,AVX2,FP16,AVX",
    "JSIMD_FORCENONE": "1",
}


def main() -> int:
    """Run, print one line per kind of run, and return 1 if there was any alarm."""
    count, *options = sys.argv[1:]
    alarms = 0
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "gate.json"
        for name, extra in (("as it is", {}), ("extensions off", WITHOUT_EXTENSIONS)):
            codes: Counter[int] = Counter()
            cells: Counter[str] = Counter()
            started = time.monotonic()
            for _ in range(int(count)):
                done = subprocess.run(
                    [sys.executable, "-m", "bench", "check", "--json", str(report), *options],
                    env={**os.environ, **extra},
                    capture_output=True,
                    check=False,
                )
                codes[done.returncode] += 1
                cells.update(json.loads(report.read_text()).get("cells", {}))
            alarms += sum(n for code, n in codes.items() if code)
            took = (time.monotonic() - started) / int(count)
            line = f"{name}: exit codes {dict(codes)}, cells {dict(cells)}, {took:.0f} s each"
            sys.stdout.write(f"{line}\n")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
