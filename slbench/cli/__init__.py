"""The command line: parse, one library call, print. Only here is anything printed, does anything exit."""

import errno
import sys
from typing import Annotated, Any

import typer

from slbench import __version__
from slbench.cli.command_group import CommandEntry, CommandGroup
from slbench.errors import SlbenchError

INTERRUPTED = 130

COMMANDS = {
    "run-grid": CommandEntry(
        "grid:run_grid", "Run every cell of a grid that is not finished yet: from a study file, from flags, or both."
    ),
    "train": CommandEntry(
        "grid:train",
        "Train one run in the foreground, in this process, for a debugger. Same code and record as in a grid.",
    ),
    "status": CommandEntry(
        "status:status",
        "Say which runs of a study, or of the store, are done, running, failed or missing. Exit code 1 if any failed.",
    ),
    "logs": CommandEntry("status:logs", "Print a run's log."),
    "report": CommandEntry(
        "report:report",
        "Print a study's table and write it, with a tidy runs.csv. Without a study: every run and search of the store.",
    ),
    "tune-temperature": CommandEntry(
        "tune:tune_temperature",
        "Search the initial softmax temperature and the shift that suit a data set, by validation accuracy alone.",
    ),
    "verify-resume": CommandEntry(
        "verify:verify_resume",
        "Prove that a killed run ends as if nothing had happened: train once through, once killed, compare every bit.",
    ),
    "export": CommandEntry(
        "archive:export_runs",
        "Write the finished runs of a study into one archive with checksums, for another machine's store.",
    ),
    "import": CommandEntry(
        "archive:import_runs",
        "Bring an archive's runs into a store. Exit code 1 if a run came out otherwise here, or is being made.",
    ),
    "clean": CommandEntry(
        "archive:clean",
        "List, or remove, what a store need not keep: leftovers, dead claims, old checkpoints. Never a record.",
    ),
    "profile": CommandEntry(
        "profile:profile", "Multiply-adds, parameters and images/s of backbones and rows, without training."
    ),
    "list": CommandEntry(
        "lists:list_names",
        "List what a study can name: backbones, methods, datasets, recipes, study files here, or their JSON schema.",
    ),
    "doctor": CommandEntry(
        "doctor:doctor", "Check versions, devices, slots, precision, data and store. Exit code 1 if something is wrong."
    ),
}
ANALYZE = {
    "attention": CommandEntry(
        "analyze:attention",
        "Show where runs look on the same images: a contact sheet of the class token's attention, a column a run.",
    ),
    "sharpness": CommandEntry(
        "analyze:sharpness",
        "Measure how sharp attention is by layer: KL from uniform in two definitions, entropy, self weight, distance.",
    ),
    "self-relation": CommandEntry(
        "analyze:self_relation",
        "Measure by layer how much a token scores itself above others, before any mask, and norms of queries and keys.",
    ),
    "temperature": CommandEntry(
        "receptive_field:temperature",
        "Show what learned temperatures have become, by layer and head, and how: Fig. 3 of the paper.",
    ),
    "receptive-field": CommandEntry(
        "receptive_field:receptive_field",
        "Show what a token is computed from: by the paper's formula for every tokenizer, and by gradients as a "
        "picture.",
    ),
}
DATA = {
    "list": CommandEntry("data:list_sets", "List the data sets and which of them are on this machine."),
    "fetch": CommandEntry(
        "data:fetch_set",
        "Bring a data set to this machine, check it and put it in order. What is here already is not fetched again.",
    ),
    "verify": CommandEntry(
        "data:verify_set",
        "Check a data set on this machine against its published checksums and counts, from its archives on.",
    ),
    "info": CommandEntry("data:info", "Say as JSON what is known of a data set, or of npz:PATH or folder:PATH."),
}
GROUPS = {
    "analyze": (
        "What finished runs have learned: where they look, how sharply, at which temperatures, from how far.",
        ANALYZE,
    ),
    "data": ("The data sets on this machine: list, fetch, verify, info.", DATA),
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
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        print(f"slbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit code. What a person caused is one line on stderr."""
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:  # typer makes KeyboardInterrupt this exit code
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (SlbenchError, typer.TyperException) as error:
        words = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        print(f"slbench: {' '.join(words.split())}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"slbench: disk full: {error.filename or error.strerror}: make space, and the same command goes on",
            file=sys.stderr,
        )
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("slbench: interrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        return INTERRUPTED


def entry() -> None:
    """The console script."""
    sys.exit(main())
