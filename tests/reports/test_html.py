"""The report as a page, in a real browser and as text."""

import html.parser
import urllib.parse

import pytest

from bvkeras.reports.document import Document, Section, Table
from bvkeras.reports.html import to_html
from bvkeras.reports.paper_document import paper_document
from bvkeras.reports.paper_report import write_paper_report
from bvkeras.reports.paper_tables import make_paper_tables
from bvkeras.reports.report import read_report, write_report
from bvkeras.tasks.glue import GLUE

TABLE = Table(
    ["name", "score", "size", "seconds"],
    [
        ["b", "0.9 ± 0.1", "1,000", "fine-tune 1\nextract 2"],
        ["a", "-0.5", "20,000,000", "-"],
        ["c", "-", "3", "extract 1"],
        ["d", "10", "209x", "extract 10"],
    ],
)


class _References(html.parser.HTMLParser):
    """What a page would fetch, and where it leads."""

    def __init__(self):
        super().__init__()
        self.found, self.links = [], []

    def handle_starttag(self, tag, attributes):
        found = self.links if tag == "a" else self.found
        found += [
            value
            for name, value in attributes
            if name in ("src", "href", "action", "data", "poster")
        ]


@pytest.fixture
def open_page(browser):
    """Opens a file; fails the test if the page errs or asks for more."""
    problems = []

    def open_file(path):
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:"))
                or problems.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        return page

    yield open_file
    assert not problems


def column(page, place):
    return page.eval_on_selector_all(
        f"tbody tr td:nth-child({place})",
        "cells => cells.map((cell) => cell.innerText)",
    )


def test_text_is_escaped():
    text = to_html(
        Document(
            "<b>&",
            [Section("<i>", ["<script>x"], Table(["<u>"], [["<s>"]]), ["<q>"])],
        )
    )
    for tag in ("<b>&<", "<i>", "<script>x", "<u>", "<s>", "<q>"):
        assert tag not in text
    assert "&lt;script&gt;x" in text


def test_page_needs_nothing_else(make_run):
    directory = make_run()
    comparison = read_report(directory / "report.json")
    strange = {"strange": "javascript:alert(1)", "far": "//host/x"}
    comparison.files.update(strange, gone="head/caché")
    (directory / strange["strange"]).touch()
    write_report(comparison, directory)
    references = _References()
    text = (directory / "report.html").read_text("utf-8")
    references.feed(text)
    assert references.found
    assert all(
        reference.startswith("data:image/svg+xml;base64,")
        for reference in references.found
    )
    links = [link for link in references.links if not link.startswith("#")]
    # What is not there is said to be so; all else is in the run's folder.
    expected = set(comparison.files.values()) - {"head/caché", "//host/x"}
    assert {urllib.parse.unquote(link) for link in links} == {
        f"./{path}" for path in expected
    }
    assert "./javascript%3Aalert%281%29" in links
    for path in ("head/caché", "//host/x"):
        shown = path.replace("/", "/<wbr>")
        assert f"<td>{shown} (not there)</td>" in text


def test_run_in_a_browser(make_run, open_page):
    directory = make_run(stops=(0.5, 1.0))
    comparison = read_report(directory / "report.json")
    write_report(comparison, directory)
    page = open_page(directory / "report.html")
    assert page.title() == comparison.title
    tables = page.query_selector_all("table")
    assert len(tables) >= 5
    assert len(tables[0].query_selector_all("tbody tr")) == 6
    text = page.inner_text("main")
    for system in comparison.systems:
        assert system.name in text
        assert f"{comparison.main_score(system):.3f}" in text
        assert f"{system.trained_parameters:,}" in text
    pictures = page.query_selector_all("img")
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.get_attribute("alt")
        assert picture.evaluate("one => one.complete && one.naturalWidth > 300")
    for link in page.query_selector_all("nav a"):
        target = link.get_attribute("href")
        heading = page.query_selector(f"h2{target}")
        assert heading.inner_text() == link.inner_text()


def test_paper_tables_in_a_browser(make_run, open_page, tmp_path):
    runs = [make_run(task) for task in ("cola", "rte")]
    write_paper_report(make_paper_tables(runs), tmp_path / "tables")
    page = open_page(tmp_path / "tables" / "tables.html")
    text = page.inner_text("main")
    assert "AdapterPooler-base" in text
    assert "652x" in text
    for picture in page.query_selector_all("img"):
        assert picture.evaluate("one => one.naturalWidth > 300")


def test_no_column_is_lost_at_1280_pixels(make_run, open_page, tmp_path):
    runs = [make_run(spec.name, regression=True) for spec in GLUE]
    tables = make_paper_tables(runs)
    path = tmp_path / "page.html"
    path.write_text(to_html(paper_document(tables)), "utf-8")
    page = open_page(path)
    page.set_viewport_size({"width": 1280, "height": 720})
    lost = page.eval_on_selector_all(
        ".table",
        "all => all.filter((one) => one.scrollWidth > one.clientWidth)"
        ".map((one) => one.innerText)",
    )
    assert not lost


def test_tables_are_sorted(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(to_html(Document("One", [Section(table=TABLE)])), "utf-8")
    page = open_page(path)
    assert column(page, 1) == ["b", "a", "c", "d"]

    def press(place):
        page.click(f"th:nth-child({place}) button")
        sorts = page.eval_on_selector_all(
            "th", "all => all.map((one) => one.getAttribute('aria-sort'))"
        )
        assert [bool(sort) for sort in sorts] == [
            number == place for number in range(1, 5)
        ]
        return sorts[place - 1]

    # Names from a, numbers from the highest; pressed again the other way.
    assert press(1) == "ascending"
    assert column(page, 1) == ["a", "b", "c", "d"]
    assert press(1) == "descending"
    assert column(page, 1) == ["d", "c", "b", "a"]
    assert press(2) == "descending"
    assert column(page, 2) == ["10", "0.9 ± 0.1", "-0.5", "-"]
    assert press(2) == "ascending"
    # What has no value stays last.
    assert column(page, 2) == ["-0.5", "0.9 ± 0.1", "10", "-"]
    assert press(3) == "descending"
    assert column(page, 3) == ["20,000,000", "1,000", "209x", "3"]
    assert press(4) == "ascending"
    assert column(page, 4) == [
        "extract 1",
        "extract 10",
        "fine-tune 1\nextract 2",
        "-",
    ]


def test_tables_can_be_sorted_by_keys(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(to_html(Document("One", [Section(table=TABLE)])), "utf-8")
    page = open_page(path)
    page.focus("th:nth-child(1) button")
    page.keyboard.press("Enter")
    assert column(page, 1) == ["a", "b", "c", "d"]
