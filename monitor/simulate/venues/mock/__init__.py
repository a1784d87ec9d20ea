"""The mock venue, simulated."""
