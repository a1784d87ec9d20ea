"""The probe: one source checked step by step, from DNS to rows."""

from monitor.probe.steps import probe

__all__ = [
    "probe",
]
