"""Texts in the output of rich."""

from io import StringIO

from slbench.cli.terminal import Terminal
from slbench.text import CONTROLS


def test_a_console_keeps_its_own_colors_and_leaves_out_the_control_characters_of_texts() -> None:
    file = StringIO()
    console = Terminal(file=file, force_terminal=True, color_system="standard", width=40)
    console.print("[bold]a[/bold] \x1b[2Jb\x9bc\u202ed\x07", highlight=False)
    assert file.getvalue() == "\x1b[1ma\x1b[0m bcd\n"
    assert CONTROLS.search(file.getvalue())
