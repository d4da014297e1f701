"""Evaluation: arrays in, numbers out. Never JAX."""
