"""Finnhub, simulated."""
