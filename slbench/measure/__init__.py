"""Costs of a network: multiply-adds, parameters, images per second, memory."""
