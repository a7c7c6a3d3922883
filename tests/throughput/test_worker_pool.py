"""The processes in which codecs are timed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.throughput import worker_pool

BUFFERS = """
import resource, numpy
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        numpy.ones(5 << 20)  # 40 MiB, as an activation of AG-VAE's first stage
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variables")
def test_buffers_do_not_come_from_the_kernel_again():
    """A worker's large buffers are on pages that it has; without the variables they are not."""

    def run(**variables: str) -> int:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(
            [sys.executable, "-c", BUFFERS],
            env={**plain, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    assert run(**worker_pool.HEAP_VARIABLES) < 100
    assert run() > 20 * 40  # of 2 MiB each at least
