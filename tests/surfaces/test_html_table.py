"""The page, read by the standard library's parser."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest

from ambientd.surfaces.html_table import html_table
from ambientd.surfaces.plan import Plan
from ambientd.surfaces.tree import Tree

VOID = {"meta"}


class Page(HTMLParser):
    """What is in it, and whether every element that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in VOID else [tag]
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found[key] or "" for key in ("href", "src") if key in found]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def page(tree: Tree, planned: Plan) -> Page:
    return Page(html_table(planned, tree).decode())


def test_it_is_whole_and_needs_nothing_else(page: Page) -> None:
    assert page.open == []
    assert page.links
    assert {f"#{id}" for id in page.ids} == set(page.links)
    assert len(set(page.ids)) == len(page.ids)


def test_every_parameter_has_one_row(tree: Tree, page: Page) -> None:
    addresses = Counter(row[0] for row in page.rows if len(row) == 6 and row[0] != "address")
    assert addresses == Counter(f"/ambientd/{parameter.id}" for parameter in tree.parameters)


def test_a_row_tells_what_the_knob_does(page: Page) -> None:
    rows = {row[0]: row for row in page.rows}
    ceiling = rows["/ambientd/limiter/ceiling"]
    assert ceiling[1:] == ["-12 to 0 dB", "-1 dB", "0.02 s", "evenly", "Belongs to nothing else"]
    assert rows["/ambientd/mashup/many/weight/0"][5] == "<Much> & more ]]>"
    assert rows["/ambientd/panic"] == ["/ambientd/panic", "1 or 0, and tells", "Silence at once, until released"]
