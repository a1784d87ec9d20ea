"""What simulated venues share on the wire: clients, faults, frames and TLS."""
