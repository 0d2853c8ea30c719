"""Hyperparameter search of SPT and LSA with Optuna; trials are ordinary runs."""
