"""Hooks by name: each file of this folder is one hook, its class `Hook`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from monitor.config import HookSettings
from monitor.pipeline import Hook


def load(settings: HookSettings, origin: str) -> list[Hook]:
    """Make every hook of this folder; `origin` of their signals is `recorded` or `recomputed`."""
    hooks: list[Hook] = []
    for module in pkgutil.iter_modules(__path__):
        parameters = getattr(settings, module.name).model_dump()
        hooks.append(import_module(f"{__name__}.{module.name}").Hook(origin=origin, **parameters))
    return hooks
