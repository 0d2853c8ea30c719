"""Analyses of finished runs: attention, learned temperatures and receptive fields."""
