"""Detectors: scikit-learn estimators, each a constructor and one hook."""
