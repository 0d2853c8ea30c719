"""Figures of a report: one file a figure, listed in `registry`."""
