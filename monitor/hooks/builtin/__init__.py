"""Built-in hooks by name: each module of this folder is one, its class `Hook`."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

from monitor.graph import Hook
from monitor.settings import HookSettings, Rule


def load(settings: HookSettings, origin: str, rules: Sequence[Rule] = ()) -> list[Hook]:
    """Make every hook of this folder; `origin` of their signals is `recorded` or `recomputed`."""
    hooks: list[Hook] = []
    for module in pkgutil.iter_modules(__path__):
        own = getattr(settings, module.name, None)
        parameters = {"rules": rules} if own is None else own.model_dump()
        hooks.append(import_module(f"{__name__}.{module.name}").Hook(origin=origin, **parameters))
    return hooks
