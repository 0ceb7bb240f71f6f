"""How long the Python package takes to start: python benches/python_start.py [RUNS]

Each run is a new interpreter. "import" is `import listenkit` when numpy is there already, "first probability" all from then on until the
first window of a new VAD has been judged. Files are in the page cache. CPU time is what remains of it on a machine that has nothing else to do.
"""

import statistics
import subprocess
import sys

RUN = """
from time import perf_counter, process_time
import numpy
def now(): return perf_counter(), process_time()
a = now()
import listenkit
b = now()
p = listenkit.VAD()(numpy.zeros(512, numpy.int16))
c = now()
listenkit.TurnModel()
d = now()
for before, after in ((a, b), (b, c), (c, d)): print(after[0] - before[0], after[1] - before[1])
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    rows = []
    for _ in range(runs + 1):
        out = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout
        rows.append([1000 * float(value) for value in out.split()])
    # The first one fills the page cache.
    columns = list(zip(*rows[1:], strict=True))
    names = ("import, beyond numpy", "first probability", "a turn model, after that")
    for name, wall, cpu in zip(names, columns[::2], columns[1::2], strict=True):
        print(
            f"{name:26} median {statistics.median(wall):5.1f} ms, best {min(wall):5.1f}; CPU time median {statistics.median(cpu):5.1f} ms"
        )


main()
