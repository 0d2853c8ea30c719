"""`slbench export`, `slbench import`, `slbench clean`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from slbench.archive.clean import Removable, find_removable, remove
from slbench.archive.export import export
from slbench.archive.import_archive import Conflict, ImportResult, import_archive
from slbench.cli import options
from slbench.cli.grid import say
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import load_study
from slbench.text import megabytes

SHOWN = 12  # fields of a conflict


def export_runs(
    names: Annotated[list[Path], typer.Argument(metavar="[STUDY] FILE", help="FILE: .tar, .tar.gz or .tgz.")],
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run of the store; then no STUDY.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite FILE.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write the finished runs of a study into one archive with checksums, for another machine's store."""
    if len(names) != (1 if everything else 2):
        raise InputError("name a study and an archive, slbench export STUDY FILE, or slbench export --all FILE")
    options.use_data_root(data_root)
    results = Store(store)
    results.check(writing=False)
    chosen = None if everything else with_adaptive_seeds(load_study(names[0]), results)
    wanted = None if chosen is None else [run.spec.run_id for run in chosen.runs]
    manifest = export(results, wanted, names[-1], replace=replace)
    left = len(results.ids() if wanted is None else wanted) - len(manifest.runs)
    if as_json:
        document = {"file": str(names[-1]), "not_finished": left, **manifest.model_dump(mode="json")}
        print(json.dumps(document, indent=2))
        return
    others = f", {left} not finished and left out" if left else ""
    size = megabytes(manifest.size, digits=2)
    print(f"{names[-1]}: {len(manifest.runs)} runs, {len(manifest.files)} files, {size}{others}")


def import_runs(
    file: Annotated[Path, typer.Argument(help="An archive that slbench export wrote.")],
    store: options.StoreFolder = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Bring an archive's runs into a store. Exit code 1 if a run came out otherwise here, or is being made."""
    arrivals = import_archive(file, Store(store))
    if as_json:
        print(json.dumps(arrivals_document(arrivals), indent=2))
    else:
        console = Console()
        for conflict in arrivals.conflicts:
            for line in conflict_lines(conflict):
                say(console, line)
        for folder in arrivals.busy:
            say(console, f"left out: {folder}: another process is at work on it: import again when it has ended")
        say(console, f"{store}: {arrivals_words(arrivals)}")
    if arrivals.conflicts or arrivals.busy:
        raise typer.Exit(1)


def clean(
    store: options.StoreFolder = options.RESULTS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, only say what would go.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also runs that were begun and not finished, nobody being at them.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List, or remove, what a store need not keep: leftovers, dead claims, old checkpoints. Never a record."""
    results = Store(store)
    results.check(writing=False)
    found = find_removable(results, unfinished=unfinished)
    gone = remove(results, found) if yes else found
    if as_json:
        print(json.dumps(waste_document(gone, removed=yes), indent=2))
        return
    console = Console()
    for each in gone:
        say(console, f"{each.kind:<16}{megabytes(each.size, digits=2):>12}  {each.path}")
    total = megabytes(sum(each.size for each in gone), digits=2)
    if not gone:
        say(console, f"{store}: nothing to remove")
    elif yes:
        say(console, f"{store}: {total} freed")
    else:
        say(console, f"{store}: {total} would be freed; nothing was removed: slbench clean --yes does it")


def conflict_lines(conflict: Conflict) -> list[str]:
    """A run that came out twice differently, for a person."""
    here, there = conflict.here, conflict.there
    why = (
        "made alike on both sides, so this should not be: one of the two is wrong"
        if conflict.same_conditions
        else "made in different ways: bits are promised for one kind of device, threads and precision only"
    )
    title = f"{here.labels.backbone} {here.labels.method} {here.labels.dataset} seed {here.spec.seed} ({here.run_id})"
    fields = [f"    {name}: {one} here, {other} there" for name, (one, other) in conflict.differences.items()]
    more = [f"    and {len(fields) - SHOWN} more fields"] if len(fields) > SHOWN else []
    return [
        f"DIFFERENT  {title}: not deterministic: {why}",
        *fields[:SHOWN],
        *more,
        f"    here: {circumstances(here)}",
        f"    there: {circumstances(there)}; kept in {conflict.kept_in}",
    ]


def circumstances(record: RunRecord) -> str:
    """With what a run was made."""
    versions = ", ".join(f"{name} {version}" for name, version in record.code.versions.items())
    threads = f"{record.threads} thread{'' if record.threads == 1 else 's'}"
    return (
        f"{record.device} ({record.device_name}) of {record.host.hostname}, {threads}, {record.precision}, {versions}"
    )


def arrivals_words(arrivals: ImportResult) -> str:
    parts = [
        f"{len(arrivals.added)} runs added",
        f"{len(arrivals.same)} here already with the same results" if arrivals.same else "",
        f"{len(arrivals.conflicts)} kept apart" if arrivals.conflicts else "",
        f"{len(arrivals.busy)} left out" if arrivals.busy else "",
        f"{arrivals.measurements} measured speeds and memories added" if arrivals.measurements else "",
    ]
    return ", ".join(part for part in parts if part)


def arrivals_document(arrivals: ImportResult) -> dict[str, Any]:
    """What `--json` prints of an import."""
    return {
        "added": arrivals.added,
        "same": arrivals.same,
        "busy": arrivals.busy,
        "measurements": arrivals.measurements,
        "conflicts": [
            {
                "run_id": conflict.here.run_id,
                "made_alike": conflict.same_conditions,
                "kept_in": str(conflict.kept_in),
                "differences": {
                    name: {"here": one, "there": other} for name, (one, other) in conflict.differences.items()
                },
                "here": made_with(conflict.here),
                "there": made_with(conflict.there),
            }
            for conflict in arrivals.conflicts
        ],
    }


def made_with(record: RunRecord) -> dict[str, Any]:
    kept = {"device", "device_name", "threads", "precision", "host", "code"}
    return record.model_dump(mode="json", include=kept)


def waste_document(found: list[Removable], *, removed: bool) -> dict[str, Any]:
    """What `--json` prints of a cleaning."""
    return {
        "removed": removed,
        "bytes": sum(each.size for each in found),
        "found": [{"kind": each.kind, "path": str(each.path), "bytes": each.size} for each in found],
    }
