"""What a page shows, read from a browser in one look: tables, figures and the header, as data."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from playwright.sync_api import Error, Page

READ = """() => {
    const deep = function* (root) {
        for (const at of root.querySelectorAll("*")) {
            yield at;
            if (at.shadowRoot) yield* deep(at.shadowRoot);
        }
    };
    const seen = (at) => at.getClientRects().length > 0;
    const found = {tables: [], figures: [], header: "", tab: "", ord: -1, badges: [],
                   chosen: {}};
    for (const at of deep(document)) {
        if (at.dataset && at.dataset.ord !== undefined) {
            found.ord = Number(at.dataset.ord);
            found.header = at.innerText;
            found.badges = [...at.querySelectorAll(".badge")].map((badge) => badge.className);
            found.is_replay = at.querySelector(".bar.replaying") !== null;
        }
        if (at.classList.contains("bk-tab") && at.classList.contains("bk-active"))
            found.tab = at.innerText.trim();
        if (at.tagName === "SELECT" && seen(at)) {
            const label = at.closest(".bk-input-group");
            found.chosen[label ? label.innerText.split("\\n")[0].trim() : ""] = at.value;
        }
        if (at.tagName === "TABLE" && seen(at)) {
            const panel = at.closest(".panel, .watchlist");
            const title = panel && panel.querySelector("h3");
            found.tables.push({
                title: title ? title.innerText : "",
                rows: [...at.rows].filter(seen).map((row) => [...row.cells].map(
                    (cell) => ({text: cell.innerText.trim(), class: cell.className,
                                title: (cell.querySelector("[title]") || cell).title || ""}))),
            });
        }
    }
    const plain = (array) => array === undefined ? [] : [...array];
    for (const model of window.Bokeh?.documents[0]?.all_models ?? []) {
        if (model.type !== "Figure") continue;
        found.figures.push({
            title: model.title.text,
            start: model.x_range.start, end: model.x_range.end,
            labels: model.center.filter((at) => at.type === "Legend").flatMap((legend) =>
                legend.items.map((item) => item.visible ? item.label.value || "" : "")),
            sources: model.renderers.map(({data_source, name}) => ({
                name: name || "",
                columns: Object.fromEntries(
                    data_source.columns().map((of) => [of, plain(data_source.get_array(of))])),
            })),
        });
    }
    return found;
}"""

Cell = dict[str, str]


class Table(NamedTuple):
    """A table as it is seen; the first row may hold its headings."""

    title: str
    rows: list[list[Cell]]

    @property
    def texts(self) -> list[list[str]]:
        return [[cell["text"] for cell in row] for row in self.rows]

    def by(self, *keys: str) -> dict[tuple[str, ...], dict[str, str]]:
        """Return the rows below the headings, each by its values under `keys`."""
        names, *rows = self.texts
        named = [dict(zip(map(_plain, names), row, strict=False)) for row in rows]
        return {tuple(row[key] for key in keys): row for row in named}


class Figure(NamedTuple):
    """A plot: its title, its time axis, the labels of its legend, and its sources in order."""

    title: str
    start: float
    end: float
    labels: list[str]
    sources: list[dict[str, Any]]


class Shown(NamedTuple):
    """All that a page shows at one moment; `ord` is that of the last row that it has."""

    ord: int
    tab: str
    header: str
    badges: list[str]
    is_replay: bool
    chosen: dict[str, str]
    tables: list[Table]
    figures: list[Figure]

    def table(self, title: str) -> Table:
        """Return the table whose title begins so."""
        found = [table for table in self.tables if table.title.startswith(title)]
        assert found, f"expected a table {title!r}, found {[t.title for t in self.tables]}"
        return found[0]

    def figure(self, title: str) -> Figure:
        found = [figure for figure in self.figures if figure.title.startswith(title)]
        assert found, f"expected a plot {title!r}, found {[f.title for f in self.figures]}"
        return found[0]


def shown(page: Page) -> Shown:
    """Read a page; tables and plots of tabs that were seen before are there too."""
    found = None
    while found is None:
        try:
            found = page.evaluate(READ)
        except Error as error:
            # It is being loaded anew.
            if "Execution context was destroyed" not in str(error):
                raise
            page.wait_for_load_state()
    return Shown(
        found["ord"],
        found["tab"],
        found["header"],
        found["badges"],
        bool(found.get("is_replay")),
        found["chosen"],
        [Table(table["title"], table["rows"]) for table in found["tables"]],
        [Figure(**figure) for figure in found["figures"]],
    )


def number(text: str) -> float | None:
    """Read a number that a person reads: with separators, a unit or a sign before it."""
    found = re.search(r"-?[\d,]+(\.\d+)?", text)
    return float(found.group().replace(",", "")) if found else None


def _plain(title: str) -> str:
    """Return a heading without the arrow of a sorted column."""
    return title.rstrip(" ▲▼")
