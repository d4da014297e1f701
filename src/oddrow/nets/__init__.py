"""Networks as Equinox modules: pure functions of their parameters, shapes in, shapes out."""
