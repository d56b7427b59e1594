"""Memory that is kept needs no page faults to be used again, and is given back in the end."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
from vision.malloc import memory_kept
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

def work():
    for _ in range(20):
        blocks = [np.ones(40_000_000, np.uint8) for _ in range(3)]
        del blocks

before = faults(); work(); print(faults() - before)
with memory_kept():
    with memory_kept():
        work()
    before = faults(); work(); print(faults() - before)
    print(resident_mb())
print(resident_mb())
before = faults(); work(); print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux is meant")
def test_freed_memory_is_used_again_within_and_given_back_after() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    usual, kept, resident_within, resident_after, usual_again = map(float, run.stdout.split())
    assert usual > 1000  # how many depends on the size of pages
    assert kept < 0.02 * usual
    assert resident_after < resident_within - 80
    assert usual_again > 0.5 * usual
