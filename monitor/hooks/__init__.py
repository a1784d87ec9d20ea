"""Hooks by name: each module of this folder is one, its class `Hook`; users have their own."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

import pyarrow as pa

from monitor.batches import SCHEMAS
from monitor.config import HookSettings
from monitor.pipeline import Hook
from monitor.rules import Rule, Severity


def load(settings: HookSettings, origin: str, rules: Sequence[Rule] = ()) -> list[Hook]:
    """Make every hook of this folder; `origin` of their signals is `recorded` or `recomputed`."""
    hooks: list[Hook] = []
    for module in pkgutil.iter_modules(__path__):
        own = getattr(settings, module.name, None)
        parameters = {"rules": rules} if own is None else own.model_dump()
        hooks.append(import_module(f"{__name__}.{module.name}").Hook(origin=origin, **parameters))
    return hooks


def signals(
    causes: pa.RecordBatch,
    level: Severity,
    texts: Sequence[str],
    values: Sequence[float | None] | None = None,
) -> pa.RecordBatch:
    """Make rows of kind `signal`, one of each row of `causes`, for a hook of a user's own."""
    count = causes.num_rows
    columns = {
        **{name: causes[name] for name in ("ts_recv", "venue", "symbol")},
        "cause_ord": causes["ord"],
        "conn": pa.array([0] * count, pa.uint32()),
        "flags": pa.array([0] * count, pa.uint32()),
        "level": pa.array([level] * count, pa.string()),
        "text": pa.array(texts, pa.string()),
        "value": pa.array([None] * count if values is None else values, pa.float64()),
    }
    schema = SCHEMAS["signal"]
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
