"""Published experiments that oddrow repeats: TOML files, what they mean, and the runners that repeat them."""
