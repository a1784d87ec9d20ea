"""The streamz graph that every batch flows through."""

from monitor.graph.pipeline import Count, Graph, Hook, HookEndsError, Sink

__all__ = [
    "Count",
    "Graph",
    "Hook",
    "HookEndsError",
    "Sink",
]
