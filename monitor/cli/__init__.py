"""The command line."""

__all__ = ["entry"]
