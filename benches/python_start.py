"""How long the Python package takes to start: python benches/python_start.py [RUNS]

Each run is a new interpreter. "import" is `import listenkit` when numpy is there already, "first probability" all from then on until the
first window of a new VAD has been judged. Files are in the page cache.
"""

import statistics
import subprocess
import sys

RUN = """
from time import perf_counter as now
import numpy
a = now()
import listenkit
b = now()
p = listenkit.VAD()(numpy.zeros(512, numpy.int16))
c = now()
listenkit.TurnModel()
d = now()
print(b - a, c - b, d - c)
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    rows = []
    for _ in range(runs + 1):
        out = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout
        rows.append([1000 * float(value) for value in out.split()])
    # The first one fills the page cache.
    names = ("import, beyond numpy", "first probability", "a turn model, after that")
    for name, times in zip(names, zip(*rows[1:], strict=True), strict=True):
        print(f"{name:26} median {statistics.median(times):6.1f} ms, best {min(times):6.1f}, worst {max(times):6.1f}")


main()
