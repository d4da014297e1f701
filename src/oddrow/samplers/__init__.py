"""Samplers that make rows of a rare class, under the contract of imbalanced-learn."""
