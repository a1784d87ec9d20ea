"""Kraken WebSocket v1, simulated."""
