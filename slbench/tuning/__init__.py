"""The search for a temperature and a shift: Optuna asks, trials are ordinary runs."""
