"""Tables: read, understood, encoded, split. polars and NumPy, never JAX."""
