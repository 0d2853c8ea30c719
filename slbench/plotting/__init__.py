"""Matplotlib style and label placement shared by all figures."""
