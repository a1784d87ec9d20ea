"""Alerts for people: what operators acknowledge and mute, and how alerts are delivered."""

from monitor.alerting.delivery import Delivery
from monitor.alerting.operator_actions import Alerting

__all__ = [
    "Alerting",
    "Delivery",
]
