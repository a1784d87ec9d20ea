"""Uniswap, simulated."""
