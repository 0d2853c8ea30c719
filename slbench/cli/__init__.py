"""The command line: parse, call the library, print. Nothing else prints or exits."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slbench import __version__
from slbench.cli.command_group import CommandEntry, CommandGroup
from slbench.cli.printing import printable_output
from slbench.cli.usage_errors import usage_message
from slbench.errors import InputError, SlbenchError
from slbench.files import owner_hint

INTERRUPTED = 130
UNUSABLE = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)

COMMANDS = {
    "init": CommandEntry("starter:init", "Write a commented study file, and a results folder that git ignores."),
    "run-grid": CommandEntry("grid:run_grid", "Run the missing runs of a study file or of a grid given by flags."),
    "work": CommandEntry("work:work", "Claim and train runs of a study until none is left to claim."),
    "submit": CommandEntry("submit:submit", "Submit workers of a study to a cluster, as many as are missing."),
    "cancel": CommandEntry("submit:cancel", "Cancel workers of a study on a cluster."),
    "train": CommandEntry("grid:train", "Train one run in the foreground of this process, for a debugger."),
    "status": CommandEntry("status:status", "Show which runs are done, running, failed, damaged or missing."),
    "show": CommandEntry(
        "show:show",
        "Show a run: state, results, the command that reproduces it, versions, settings and learning curve.",
    ),
    "logs": CommandEntry("status:logs", "Print the log of a run, or of a worker on a cluster."),
    "report": CommandEntry(
        "report:report", "Print the answers to a study's questions and its table; write tables and figures."
    ),
    "tune-temperature": CommandEntry(
        "tune:tune_temperature", "Search the initial temperature and the shift by validation accuracy."
    ),
    "evaluate": CommandEntry("evaluate:evaluate", "Test the kept weights of finished runs on other data."),
    "verify-resume": CommandEntry("verify:verify_resume", "Prove that a killed run resumes to the same bits."),
    "export-model": CommandEntry(
        "model:export_model", "Write the network of a finished run into a folder: weights, settings and an example."
    ),
    "export": CommandEntry("archive:export_runs", "Write finished runs into an archive with checksums."),
    "import": CommandEntry("archive:import_runs", "Add the runs of an archive to a store."),
    "clean": CommandEntry("archive:clean", "List or remove leftovers, dead claims and old checkpoints."),
    "profile": CommandEntry("profile:profile", "Measure multiply-adds, parameters, images/s and memory."),
    "list": CommandEntry(
        "lists:list_names", "List backbones, methods, datasets, augmentations, recipes or study files."
    ),
    "doctor": CommandEntry("doctor:doctor", "Check versions, devices, precision, data and the store."),
}
ANALYZE = {
    "attention": CommandEntry(
        "analyze:attention", "Draw where the class token attends, on the same images for every run."
    ),
    "sharpness": CommandEntry("analyze:sharpness", "Measure by layer how sharp attention is."),
    "self-relation": CommandEntry(
        "analyze:self_relation", "Measure by layer how tokens score themselves, and query and key norms."
    ),
    "temperature": CommandEntry(
        "receptive_field:temperature", "Show learned temperatures by layer and head, and over training."
    ),
    "receptive-field": CommandEntry(
        "receptive_field:receptive_field", "Show receptive fields by formula and by gradients."
    ),
}
DATA = {
    "list": CommandEntry("data:list_sets", "List the data sets and whether they are on this machine."),
    "fetch": CommandEntry("data:fetch_set", "Download a data set, verify it and prepare it."),
    "verify": CommandEntry("data:verify_set", "Check a data set against its published checksums and counts."),
    "info": CommandEntry("data:info", "Print what is known of a data set, with its images per class."),
    "list-images": CommandEntry(
        "data:list_images", "List the images of a data set by hash, for others to find in a published set."
    ),
    "subset": CommandEntry("data:subset", "Take the images of a list from a published data set."),
}
GROUPS = {
    "analyze": (
        "Inspect finished runs: attention maps, sharpness, temperatures, receptive fields.",
        ANALYZE,
    ),
    "data": ("List, download and verify data sets.", DATA),
}


class Commands(CommandGroup):
    """All commands."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.add_commands(COMMANDS)
        for name, (about, table) in GROUPS.items():
            group = CommandGroup(name=name, help=about, no_args_is_help=True)
            group.add_commands(table)
            self.add_command(group)


app = typer.Typer(
    cls=Commands,
    name="slbench",
    help="Ablations and benchmarks of SPT and LSA on vision transformers for small data sets.",
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"slbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. Errors a user can cause are one line on stderr."""
    with printable_output():
        return run(arguments)


def run(arguments: list[str] | None) -> int:
    """Like `main`, with control characters in the output."""
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:  # typer makes KeyboardInterrupt this exit code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (SlbenchError, typer.TyperException) as error:
        message = usage_message(error) if isinstance(error, typer.TyperException) else str(error)
        print(f"slbench: {' '.join(message.split())}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        name = error.filename2 or error.filename
        if error.errno in UNUSABLE and isinstance(name, str | bytes):  # without a path it is our mistake
            owner = owner_hint(Path(os.fsdecode(name))) if isinstance(error, PermissionError) else ""
            print(f"slbench: {os.fsdecode(name)}: cannot be read or written: {error.strerror}{owner}", file=sys.stderr)
            return InputError.exit_code
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"slbench: disk full: {error.filename or error.strerror}: free some space; {resuming(arguments)}",
            file=sys.stderr,
        )
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print(f"slbench: interrupted; finished runs are kept, {resuming(arguments)}", file=sys.stderr)
        return INTERRUPTED


def resuming(arguments: list[str] | None) -> str:
    """Return how to continue a command that was ended."""
    from slbench.machine import AGAIN

    again = [word for word in (sys.argv if arguments is None else arguments) if word in AGAIN]
    return f"the same command{f' without {again[0]}' if again else ''} resumes"


def entry() -> None:
    """Run the console script."""
    sys.exit(main())
