"""The simulated exchange: real WebSocket and HTTP on loopback, for trying and testing."""

from monitor.simulate.command import simulate
from monitor.simulate.simulator import Simulator, run

__all__ = ["Simulator", "run", "simulate"]
