"""Run the battery: `python -m tests.hostile [--group NAME]... [--failures FILE] [--only FILE]`."""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.hostile.case import Case, Outcome, Result, outcome_of
from tests.hostile.process import import_heavy_modules, run
from tests.hostile.tables import all_cases

MAX_BYTES = 2 * 10**9  # resident memory of a command that refuses something or reads a small store


def main() -> int:
    """Run the cases; return 1 if any did not do what it must."""
    options = argparse.ArgumentParser(prog="python -m tests.hostile")
    options.add_argument("--group", action="append", help="only this group; may be repeated")
    options.add_argument("--match", default="", help="only cases whose name contains this")
    options.add_argument("--only", type=Path, help="only the cases of a file written by --failures")
    options.add_argument("--failures", type=Path, help="write the failed cases to this file")
    options.add_argument("--list", action="store_true", help="print the cases and what each must do")
    arguments = options.parse_args()
    only = None if arguments.only is None else set(map(tuple, json.loads(arguments.only.read_text())))
    cases = [
        case
        for case in all_cases()
        if (not arguments.group or case.group in arguments.group)
        and arguments.match in case.name
        and (only is None or (case.group, case.name) in only)
    ]
    if arguments.list:
        for case in cases:
            print(f"{case.group}: {case.name}: {' '.join(case.arguments)[:100]!r} -> {case.expected}")
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import_heavy_modules()
    counts: dict[str, Counter[Outcome]] = defaultdict(Counter)
    failed: list[tuple[str, str]] = []
    for case in cases:
        result = run(case)
        outcome = outcome_of(case, result, max_bytes=MAX_BYTES)
        counts[case.group][outcome] += 1
        if outcome is not Outcome.RIGHT:
            failed.append((case.group, case.name))
            print(description(case, outcome, result), flush=True)
    print(f"\n{table(counts)}")
    if arguments.failures is not None:
        arguments.failures.write_text(json.dumps(failed))
    return int(bool(failed))


def description(case: Case, outcome: Outcome, result: Result) -> str:
    """Return one line about a failed case."""
    said = (result.err.strip() or result.out.strip()).splitlines()
    peak = f", {result.peak_bytes / 1e9:.1f} GB" if outcome is Outcome.MEMORY else ""
    wrote = f" wrote {', '.join(result.written[:3])};" if outcome is Outcome.WROTE else ""
    return (
        f"{outcome}: {case.group}: {shortened(case.name)}: slbench {' '.join(map(shortened, case.arguments))} "
        f"[exit {result.code}, {result.seconds:.1f} s{peak}]{wrote} must: {case.expected}"
        f"{' with ' + ', '.join(map(repr, case.words)) if case.words else ''}; "
        f"said: {shortened(said[-1] if said else '', 160)}"
    )


def shortened(text: str, length: int = 60) -> str:
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


def table(counts: Mapping[str, Counter[Outcome]]) -> str:
    """Return a Markdown table of counts by group and outcome."""
    columns = [outcome for outcome in Outcome if any(row[outcome] for row in counts.values())]
    total = sum(counts.values(), Counter[Outcome]())
    rows = [
        [name, row.total(), *(row[column] for column in columns)] for name, row in [*counts.items(), ("all", total)]
    ]
    lines: list[list[object]] = [["input", "cases", *columns], ["---", *["--:"] * (len(columns) + 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell or '-') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
