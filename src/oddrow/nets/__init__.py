"""Networks as Equinox modules. They work on encoded arrays and know nothing of tables."""
