"""The venues of the simulated exchange, one package each."""
