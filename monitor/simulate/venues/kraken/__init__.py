"""Kraken WebSocket v2, simulated."""
