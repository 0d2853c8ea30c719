"""Texts in the output of rich."""

from contextlib import redirect_stdout
from io import StringIO

import pytest
from rich.progress import Progress, TextColumn

from slbench.cli.printing import printable_output
from slbench.cli.terminal import CutColumn, Terminal, elapsed_column
from slbench.text import CONTROLS


def test_a_console_keeps_its_own_colors_and_leaves_out_the_control_characters_of_texts() -> None:
    file = StringIO()
    console = Terminal(file=file, force_terminal=True, color_system="standard", width=40)
    console.print("[bold]a[/bold] \x1b[2Jb\x9bc\u202ed\x07", highlight=False)
    assert file.getvalue() == "\x1b[1ma\x1b[0m bcd\n"
    assert CONTROLS.search(file.getvalue())


class TerminalFile(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_live_display_moves_the_cursor_of_a_terminal_below_filtered_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    file = TerminalFile()
    with redirect_stdout(file), printable_output():
        console = Terminal(width=100, height=20)
        columns = (TextColumn("{task.description}"), CutColumn("{task.fields[detail]}"), elapsed_column())
        with Progress(*columns, console=console, auto_refresh=False) as progress:
            for number in range(2):
                progress.add_task(f"run {number}", detail="loss 0.1 " * 20)
            progress.refresh()
            progress.refresh()
            print("a \x1b[2Jtext")
    written = file.getvalue()
    assert "\x1b[1A" in written and "\x1b[2K" in written
    assert "\x1b[2J" not in written and "a text" in written
    assert "0:00:00" in written and "…" in written
