"""CPU time of commands that train nothing, as ratios to `python -c pass`, interleaved.

Run by `make bench-startup`. To compare with another checkout: PYTHONPATH=CHECKOUT python benchmarks/startup.py.
Either way the console script beside the interpreter is run.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

SLBENCH = str(Path(sys.executable).with_name("slbench"))
LINES = ("--help", "--version", "list methods", "status", "data --help", "run-grid --help")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import typer'": [sys.executable, "-c", "import typer"],
    "python -c 'import pydantic.main'": [sys.executable, "-c", "import pydantic.main"],
    **{f"slbench {words}": [SLBENCH, *words.split()] for words in LINES},
    "slbench st[TAB]": [SLBENCH],
    "slbench run-grid --method sp[TAB]": [SLBENCH],
}


def cpu_seconds(name: str, folder: Path) -> float:
    """Return user and system time of a command and its children in an empty folder."""
    environment = dict(os.environ)
    if name.endswith("[TAB]"):
        words = name.removesuffix("[TAB]")
        environment |= {"_SLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(COMMANDS[name], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=15, help="runs of each command, after one that is not counted")
    runs = parser.parse_args().n
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(runs + 1):
            for name in COMMANDS:
                taken = cpu_seconds(name, Path(folder))
                if index:
                    seconds[name].append(taken)
    floor = median(seconds["python -c pass"])
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, n = {runs}")
    print(f"{'':<34}{'median [quartiles]':>24}   x pass")
    for name, values in seconds.items():
        low, middle, high = quantiles(values, n=4)
        print(f"{name:<34}{middle:>8.3f} s [{low:.3f}, {high:.3f}]{middle / floor:>9.1f}")


if __name__ == "__main__":
    main()
