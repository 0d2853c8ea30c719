"""`python -m slbench` is the same as `slbench`."""

from slbench.cli import entry

entry()
