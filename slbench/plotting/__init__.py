"""Matplotlib style, label placement and line plots shared by all figures."""
