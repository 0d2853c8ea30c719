"""SPT and LSA as add-ons of models from elsewhere: `apply` puts a method into a model, `describe` says what it met."""

from slbench.retrofit.apply import apply, describe

__all__ = ["apply", "describe"]
