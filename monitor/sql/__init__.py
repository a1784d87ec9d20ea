"""SQL over recordings, run in a locked child process."""

__all__ = ["queries"]
