"""The command line: `oddrow COMMAND`, and what it prints."""

from oddrow.cli.app import main

__all__ = ["main"]
