"""Costs of a network: multiply-adds, parameters, throughput, memory."""
