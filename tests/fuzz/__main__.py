"""Search for inputs that break a property: `python -m tests.fuzz --minutes 20 [--target NAME]...`."""

import argparse
import logging
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import HypothesisWarning

from tests.fuzz.strategies import ROOT
from tests.fuzz.targets import TARGETS

ADDRESS_SPACE = 8 * 10**9  # bytes
ROUND = settings(
    max_examples=200,
    deadline=None,
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def main() -> int:
    """Run rounds of all targets until the time is over; return 1 if a property was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("--minutes", type=float, default=5)
    options.add_argument("--target", action="append", choices=list(TARGETS))
    arguments = options.parse_args()
    names = arguments.target or list(TARGETS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    warnings.simplefilter("ignore", HypothesisWarning)
    logging.disable()
    database = DirectoryBasedExampleDatabase(ROOT / "build" / "fuzz")
    targets = {name: settings(ROUND, database=database)(TARGETS[name]) for name in names}
    end, rounds, found = time.monotonic() + 60 * arguments.minutes, Counter[str](), dict[str, str]()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where an input that escapes would write
        while time.monotonic() < end:
            for name, target in targets.items():
                rounds[name] += 1
                fault = fault_of(target)
                if fault and fault[0] not in found:
                    found[fault[0]] = fault[1]
                    print(f"{name}: {fault[0]}\n{fault[1]}\n", flush=True)
        os.chdir("/")
    print(f"{sum(rounds.values()) * ROUND.max_examples:,} inputs in {sum(rounds.values())} rounds; {len(found)} faults")
    return int(bool(found))


def fault_of(target: Callable[[], None]) -> tuple[str, str] | None:
    """Return where a property breaks, and the smallest input found; None if it holds."""
    try:
        target()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        faults = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        frames = [frame for frame in traceback.extract_tb(faults[0].__traceback__) if str(ROOT) in frame.filename]
        place = f"{os.path.relpath(frames[-1].filename, ROOT)}:{frames[-1].lineno}" if frames else "?"
        notes = "\n".join(getattr(faults[0], "__notes__", ()))
        return f"{type(faults[0]).__name__} at {place}", f"{str(faults[0])[:300]}\n{notes[:1500]}"
    return None


if __name__ == "__main__":
    sys.exit(main())
