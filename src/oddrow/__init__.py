"""Finds the odd rows in a table."""
