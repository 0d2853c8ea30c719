"""The command line: parse, one library call, print. Only here is anything printed, does anything exit."""

import errno
import sys
from typing import Annotated

import typer

from slbench import __version__
from slbench.cli.analyze import app as analyze_commands
from slbench.cli.archive import clean, export_runs, import_runs
from slbench.cli.data import app as data_commands
from slbench.cli.doctor import doctor
from slbench.cli.grid import run_grid, train
from slbench.cli.lists import list_names
from slbench.cli.profile import profile
from slbench.cli.receptive_field import receptive_field, temperature
from slbench.cli.report import report
from slbench.cli.status import logs, status
from slbench.cli.tune import tune_temperature
from slbench.cli.verify import verify_resume
from slbench.errors import SlbenchError

INTERRUPTED = 130

app = typer.Typer(
    name="slbench",
    help="Ablations and benchmarks of SPT and LSA on vision transformers for small data sets.",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("run-grid")(run_grid)
app.command("train")(train)
app.command("status")(status)
app.command("logs")(logs)
app.command("report")(report)
app.command("tune-temperature")(tune_temperature)
app.command("verify-resume")(verify_resume)
app.command("export")(export_runs)
app.command("import")(import_runs)
app.command("clean")(clean)
app.command("profile")(profile)
app.command("list")(list_names)
app.command("doctor")(doctor)
analyze_commands.command("temperature")(temperature)
analyze_commands.command("receptive-field")(receptive_field)
app.add_typer(analyze_commands, name="analyze")
app.add_typer(data_commands, name="data")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        print(f"slbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
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
