"""Training: whole epochs compiled, for any network that has a loss. Knows no model."""
