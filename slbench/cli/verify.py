"""`slbench verify-resume`."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from slbench.cli import options
from slbench.cli.grid import say, say_notes
from slbench.cli.printing import print_json
from slbench.cli.terminal import Terminal
from slbench.cli.views import make_view
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.grid.launch import prepare
from slbench.grid.verify import Proof, Verification, one_per_network
from slbench.store import Store
from slbench.text import plural, shown


def verify_resume(
    study: options.StudyPath = None,
    backbone: options.Backbones = [],  # noqa: B006
    method: options.Methods = [],  # noqa: B006
    dataset: options.Datasets = [],  # noqa: B006
    seeds: options.Seeds = None,
    recipe: options.RecipeName = None,
    protocol: options.ProtocolName = None,
    changes: options.Changes = [],  # noqa: B006
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    kills: Annotated[int, typer.Option("--kills", help="Kills per run.", min=1, max=100)] = 3,
    kill_seed: Annotated[int, typer.Option("--kill-seed", help="Seed of the steps at which runs are killed.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="Verify every run, not one per network and data set.")] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep both stores in this folder.", metavar="DIR", show_default=False)
    ] = None,
    plugin: options.Plugins = [],  # noqa: B006
    data_root: options.DataRoot = None,
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    jobs_per_device: options.JobsPerDevice = None,
    as_json: options.Json = False,
) -> None:
    """Prove that a killed run resumes to the same bits.

    Trains each run once through and once killed with SIGKILL at random steps, and compares every bit.
    """
    chosen = options.study_of(
        study, backbone=backbone, method=method, dataset=dataset, seeds=None if seeds is None else range(seeds),
        recipe=recipe, protocol=protocol, changes=changes, epochs=epochs, batch_size=batch_size,
        data=DataConfig.read(data_root, runs_plugins=True), plugins=plugin,
    )  # fmt: skip
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise InputError(f"--keep: must be a new or empty folder (got {shown(keep)})")
    runs = chosen.runs if every else one_per_network(chosen.runs)
    console = Terminal(stderr=as_json)
    with stores(keep) as folder:
        grid = prepare(
            runs,
            Store(folder),
            devices=devices,
            jobs_per_device=options.jobs_of(jobs_per_device),
            threads=threads,
            writing=True,
            with_data=True,
        )
        say_notes(console, chosen, Store(folder), more=grid.notes)
        twice = Verification(runs, folder, slots=grid.slots, precisions=grid.precisions, kills=kills, seed=kill_seed)
        say(console, "uninterrupted:")
        with make_view(console, list(runs)) as view:
            twice.run_undisturbed(view)
        say(console, "killed and resumed:")
        with make_view(console, list(runs)) as view:
            twice.run_killed(view)
        proofs = twice.proofs()
    for proof in proofs:
        say(console, sentence(proof))
    held = sum(proof.holds for proof in proofs)
    deaths = sum(len(proof.killed_at) for proof in proofs)
    say(console, f"{held} of {plural(len(proofs), 'run')} identical after {plural(deaths, 'kill')} with SIGKILL")
    if as_json:
        print_json({"identical": held, "total": len(proofs), "runs": [proof_document(proof) for proof in proofs]})
    if held < len(proofs):
        raise typer.Exit(1)


@contextlib.contextmanager
def stores(keep: Path | None) -> Iterator[Path]:
    """Yield a folder for the two stores; a temporary one unless it is to be kept."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="slbench-verify-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def proof_document(proof: Proof) -> dict[str, Any]:
    """Return a proof as part of the `--json` document."""
    is_compared = proof.undisturbed is not None and proof.killed is not None and bool(proof.killed_at)
    both = {"uninterrupted": proof.undisturbed, "killed": proof.killed}
    return {
        "run_id": proof.run.spec.run_id,
        "verdict": "identical" if proof.holds else "different" if is_compared else "inconclusive",
        "killed_at": list(proof.killed_at),
        "weights_sha256": {name: record and record.weights_sha256 for name, record in both.items()},
        "differences": {
            name: {"uninterrupted": one, "killed": other} for name, (one, other) in proof.differences.items()
        },
    }


def sentence(proof: Proof) -> str:
    """Return the line on a proof."""
    title = proof.run.title
    if proof.undisturbed is None or proof.killed is None:
        which = "uninterrupted" if proof.undisturbed is None else "killed"
        return f"INCONCLUSIVE {title}: the {which} run failed or diverged"
    if not proof.killed_at:
        return f"INCONCLUSIVE {title}: finished before it was killed; use more epochs"
    steps = ", ".join(map(str, proof.killed_at))
    sha256, last = proof.undisturbed.weights_sha256, proof.undisturbed.steps
    text = f"{title}: killed after step {steps} of {last}; weights sha256 {sha256}"
    if proof.holds:
        return f"identical  {text} in both, and all other fields"
    names = ", ".join(f"{name} ({one!r} and {other!r})" for name, (one, other) in list(proof.differences.items())[:5])
    return f"DIFFERENT  {text} and {proof.killed.weights_sha256}; different: {names[:1000]}"
