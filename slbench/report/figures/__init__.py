"""Figures of a report, one file per figure, listed in `registry`."""
