"""The page: its web server, its viewers, tabs, layouts and views."""

__all__ = ["serving", "viewer_document"]
