"""The seeded market that all simulated venues quote."""
