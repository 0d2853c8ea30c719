"""Examples of plugins: a model, two parts of methods, a data set and an augmentation. No other module imports them."""
