"""SQL statements that several tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor.sql import queries

ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"


def ask(folder: Path, sql: str, **options: Any) -> list[dict[str, Any]]:
    table = queries.run(sql, folder, **options).table
    for at, name in enumerate(table.column_names):
        if str(table.schema.field(name).type).startswith("timestamp"):
            table = table.set_column(at, name, table[name].cast("int64"))
    return table.to_pylist()
