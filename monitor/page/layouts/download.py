"""Download the result of a job to the viewer's machine, up to a size."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

import panel as pn

from monitor.jobs import Job
from monitor.page.views import style

# It is sent through the page, and held in memory on both sides.
MAX_BYTES = 64 << 20


class Download:
    """A button for the last clip or export of the chosen recording."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self.view = pn.widgets.FileDownload(
            callback=self._read,
            filename="none",
            auto=True,
            label="Download",
            width=210,
            visible=False,
            align="end",
            stylesheets=[style.WIDGET_CSS],
        )

    def offer(self, jobs: list[Job]) -> None:
        """Offer the result of the newest finished job."""
        made = [job for job in jobs if job.state == "done" and "path" in job.outcome]
        path = Path(made[0].outcome["path"]) if made else None
        if path == self._path:
            return
        self._path = path
        self.view.visible = made != [] and 0 < made[0].outcome["bytes"] <= MAX_BYTES
        if path is not None:
            is_export = made[0].work == "export"
            self.view.param.update(
                filename=f"{path.parent.name}-{path.name}.zip" if is_export else path.name,
                label="Download export as .zip" if is_export else "Download clip",
            )

    async def _read(self) -> io.BytesIO:
        assert self._path is not None
        return io.BytesIO(await asyncio.to_thread(_packed, self._path))


def _packed(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    out = io.BytesIO()
    # Parquet is compressed already; CSV becomes much smaller.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for file in sorted(path.iterdir()):
            packed.write(file, file.name)
    return out.getvalue()
