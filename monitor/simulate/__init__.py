"""The simulated exchange: real WebSocket and HTTP on loopback, for trying, testing and replaying."""
