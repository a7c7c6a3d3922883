"""What a worker process imports before it does anything: each second of it is paid per process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from bench import metrics


def test_worker_of_classical_codecs_imports_no_heavy_library():
    """PyTorch, pandas, SciPy, FFmpeg and matplotlib wait for the codec or metric that needs them.

    A JPEG with PSNR and MS-SSIM needs none of them, once the loops are compiled.
    """
    image = np.zeros((192, 192, 3), np.uint8)
    metrics.create("ms_ssim")(image, image)
    script = (
        "import sys, numpy as np; from bench.measurement import worker; "
        "from bench import metrics, registry; image = np.zeros((192, 192, 3), np.uint8); "
        "jpeg = registry.create('jpeg'); data = jpeg.encode(image, jpeg.ladder()[0]); "
        "jpeg.decode(data); [metrics.create(n)(image, image) for n in ('psnr', 'ms_ssim')]; "
        "print(*{'torch', 'pandas', 'scipy', 'av', 'matplotlib', 'compressai'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "" == done.stderr
    assert "" == done.stdout.strip()
