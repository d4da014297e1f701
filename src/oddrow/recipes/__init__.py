"""Published experiments as data: TOML files, what they mean, and how they are run again."""
