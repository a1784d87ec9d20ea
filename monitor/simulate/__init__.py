"""The simulated exchange: real WebSocket and HTTP on loopback, for trying and testing."""
