"""Runs from one store to another, as an archive; what a store need not keep. Free of torch."""
