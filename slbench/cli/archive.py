"""`slbench export`, `slbench import`, `slbench clean`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slbench.archive.clean import Removable, find_removable, remove
from slbench.archive.export import export
from slbench.archive.import_archive import Conflict, ImportResult, import_archive
from slbench.cli import options
from slbench.cli.grid import say
from slbench.cli.printing import print_json
from slbench.cli.terminal import Terminal
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.grid.adaptive_seeds import with_adaptive_seeds
from slbench.record import Outcome
from slbench.store import Store
from slbench.study import Flags, load_study
from slbench.text import megabytes, plural

SHOWN = 12  # fields of a conflict


def export_runs(
    names: Annotated[
        list[Path],
        typer.Argument(metavar="[STUDY] FILE", help="Study file, and the archive to write: .tar, .tar.gz or .tgz."),
    ],
    store: options.StoreFolder = options.RESULTS,
    data_root: options.DataRoot = None,
    everything: Annotated[bool, typer.Option("--all", help="Export every run of the store, without STUDY.")] = False,
    weights: Annotated[bool, typer.Option(help="Include the weights that runs kept.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite FILE.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write finished runs into an archive with checksums."""
    if len(names) != (1 if everything else 2):
        raise InputError(
            "export: needs a study and an archive; allowed: slbench export STUDY FILE, slbench export --all FILE"
        )
    data = DataConfig.read(data_root)
    results = Store(store)
    results.check(writing=False)
    chosen = None if everything else with_adaptive_seeds(load_study(names[0], Flags(data=data)), results)
    run_ids = None if chosen is None else [run.spec.run_id for run in chosen.runs]
    manifest = export(results, run_ids, names[-1], weights=weights, replace=replace)
    left = len(results.ids() if run_ids is None else run_ids) - len(manifest.runs)
    if as_json:
        document = {"file": str(names[-1]), "not_finished": left, **manifest.model_dump(mode="json")}
        print_json(document)
        return
    skipped = f"; skipped {plural(left, 'unfinished run')}" if left else ""
    size = megabytes(manifest.size, digits=2)
    print(f"{names[-1]}: {plural(len(manifest.runs), 'run')}, {plural(len(manifest.files), 'file')}, {size}{skipped}")


def import_runs(
    file: Annotated[Path, typer.Argument(help="Archive written by slbench export.")],
    store: options.StoreFolder = options.RESULTS,
    as_json: options.Json = False,
) -> None:
    """Add the runs of an archive to a store.

    Exits with 1 if a run conflicts with a local result or is in progress.
    """
    result = import_archive(file, Store(store))
    if as_json:
        print_json(import_document(result))
    else:
        console = Terminal()
        for conflict in result.conflicts:
            for line in conflict_lines(conflict):
                say(console, line)
        for folder in result.busy:
            say(
                console,
                f"skipped: {folder}: another process is working on it; import again when it has ended "
                "(if it is dead: slbench clean --yes)",
            )
        say(console, f"{store}: {import_summary(result)}")
    if result.conflicts or result.busy:
        raise typer.Exit(1)


def clean(
    store: options.StoreFolder = options.RESULTS,
    yes: Annotated[bool, typer.Option("--yes", help="Remove the listed files; without this, only list them.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also remove unfinished runs that no process is working on.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List or remove leftovers, dead claims and old checkpoints.

    Records are never removed.
    """
    results = Store(store)
    results.check(writing=False)
    entries = find_removable(results, unfinished=unfinished)
    if yes:
        entries = remove(results, entries)
    if as_json:
        print_json(clean_document(entries, removed=yes))
        return
    console = Terminal()
    for entry in entries:
        say(console, f"{entry.kind:<16}{megabytes(entry.size, digits=2):>12}  {entry.path}")
    total = megabytes(sum(entry.size for entry in entries), digits=2)
    if not entries:
        say(console, f"{store}: nothing to remove")
    elif yes:
        say(console, f"{store}: {total} freed")
    else:
        say(console, f"{store}: {total} can be freed; add --yes to remove")


def conflict_lines(conflict: Conflict) -> list[str]:
    """Return the lines on a run with two different results."""
    here, there = conflict.here, conflict.there
    why = (
        "same device kind, threads, precision and versions, so results should be equal: one of the two is wrong"
        if conflict.same_conditions
        else "different circumstances: results are bit-identical only for one device kind, thread count and precision"
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


def circumstances(record: Outcome) -> str:
    """Return device, host, threads, precision, whether it was compiled, and versions of a run."""
    versions = ", ".join(f"{name} {version}" for name, version in record.code.versions.items())
    how = f"{plural(record.threads, 'thread')}, {record.precision}{', compiled' if record.compiled else ''}"
    return f"{record.device} ({record.device_name}) of {record.host.hostname}, {how}, {versions}"


def import_summary(result: ImportResult) -> str:
    parts = [
        f"{plural(len(result.added), 'run')} added",
        f"{len(result.same)} already here with the same results" if result.same else "",
        f"{plural(len(result.conflicts), 'conflict')} stored separately" if result.conflicts else "",
        f"{len(result.busy)} skipped" if result.busy else "",
        f"{plural(result.measurements, 'throughput or memory measurement')} added" if result.measurements else "",
        f"{plural(result.studies, 'study file')} added or updated" if result.studies else "",
    ]
    return ", ".join(part for part in parts if part)


def import_document(result: ImportResult) -> dict[str, Any]:
    """Return the `--json` document of an import."""
    return {
        "added": result.added,
        "same": result.same,
        "busy": result.busy,
        "measurements": result.measurements,
        "studies": result.studies,
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
            for conflict in result.conflicts
        ],
    }


def made_with(record: Outcome) -> dict[str, Any]:
    fields = {"device", "device_name", "threads", "precision", "compiled", "not_compiled", "host", "code"}
    return record.model_dump(mode="json", include=fields)


def clean_document(entries: list[Removable], *, removed: bool) -> dict[str, Any]:
    """Return the `--json` document of a cleanup."""
    return {
        "removed": removed,
        "bytes": sum(entry.size for entry in entries),
        "found": [{"kind": entry.kind, "path": str(entry.path), "bytes": entry.size} for entry in entries],
    }
