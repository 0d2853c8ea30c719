"""Print the reports of the reference studies again: `python -m tests.reference [--update] [NAME ...]`."""

import argparse
import shutil
import time

from tests.reference.quoted import PAGE, with_quotations
from tests.reference.regenerate import differences, names, regenerate, replace
from tests.support import ROOT

FOLDER = ROOT / "build" / "reference"


def main() -> int:
    """Write the reports to build/reference; return 1 if they are not the committed ones."""
    parser = argparse.ArgumentParser(prog="python -m tests.reference")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="of folders of results/reference; default: all with runs"
    )
    parser.add_argument(
        "--update", action="store_true", help="replace the committed reports, and what docs/results.md quotes of them"
    )
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    found = list[str]()
    for name in options.names or names():
        start = time.monotonic()
        made = regenerate(name, FOLDER)
        found.extend(lines := list(differences(name, made)))
        if options.update:
            replace(name, made)
        print(f"{name}: {len(list(made.iterdir()))} files in {time.monotonic() - start:.1f} s", *lines, sep="\n  ")
    if options.update:
        PAGE.write_text(with_quotations(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return int(bool(found) and not options.update)


if __name__ == "__main__":
    raise SystemExit(main())
