"""The report in a browser: at the width of a phone and of a desk, without network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from headless import browser, open_tab
from sorting_cases import MeanModel, Source, means

from napari_xfelsort.core.errors import Problem
from napari_xfelsort.core.report import write_report
from napari_xfelsort.core.sorting import sort
from napari_xfelsort.core.stack import EventStack

pytestmark = [
    pytest.mark.skipif(browser() is None, reason="no Chromium is installed"),
    pytest.mark.timeout(120),
]
LONG = "/gpfs/exfel/exp/SPB/202601/p009999/scratch/user/an/unusually/long/folder/for/a/run"
METRICS = {
    "n": 120,
    "accuracy": 0.9583,
    "classes": ["good", "bad"],
    "columns": ["good", "bad", "unsure"],
    "confusion": [[70, 2, 1], [2, 44, 1]],
    "per_class": {
        "good": {"precision": 0.972, "recall": 0.959, "f1": 0.966, "support": 73},
        "bad": {"precision": 0.957, "recall": 0.936, "f1": 0.946, "support": 47},
    },
}


class Blobs(Source):
    """Frames with something to see, of given means."""

    def __init__(self, values, path, **more):
        super().__init__(values, path, **more)
        y, x = np.mgrid[:96, :128]
        blob = np.exp(-((y - 40) ** 2 + (x - 70) ** 2) / 300)
        self._frames = np.asarray(values)[:, None, None] * (0.5 + blob / blob.mean() / 2)
        self.raw_shape = (96, 128)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a sort in which something of everything happened."""
    out = tmp_path_factory.mktemp("sorted")
    n = 400
    phase = np.sin(np.arange(n) / 40) * 0.3 + 0.5
    stack = EventStack(
        [
            *(
                Blobs(np.clip(phase + means(n, k) * 0.3 - 0.15, 0, 1), f"{LONG}/r{k:04d}.cxi")
                for k in range(12)
            ),
            Blobs(means(40, 99), "short.cxi", broken=(3, 4, 9)),
        ],
        problems=[Problem("gone.cxi", "gone.cxi does not exist.")],
    )
    model = MeanModel()
    model.metrics = METRICS
    model.provenance = {"model": "random_forest", "labels": f"{LONG}/labels", "seed": 0}
    sort(stack, model, out, workers=0)
    return out / "report.html"


@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_well_at_the_width_of_a_phone_and_of_a_desk(report, tmp_path, width):
    with open_tab(tmp_path) as tab:
        tab.open(report.as_uri(), width, 900)
        assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.value("document.documentElement.clientWidth") == width
        beyond = (
            "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg') &&"
            " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
        )
        assert tab.value(beyond) == []
        headings = tab.value("[...document.querySelectorAll('h2')].map(e => e.textContent)")
        assert headings == [
            "Events",
            "Course of the run",
            "Probability",
            "Examples",
            "Files",
            "Failures",
            "Model",
            "Settings",
        ]
        images = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
        assert tab.value(images)
        smallest = "Math.min(...[...document.querySelectorAll('svg.course text')].map("
        smallest += "e => e.getBoundingClientRect().height))"
        assert tab.value(smallest) >= 7  # pixels: can be read
        picture = tmp_path / f"report-{width}.png"
        tab.screenshot(picture)
        if folder := os.environ.get("XFELSORT_SCREENSHOTS"):
            Path(folder, picture.name).write_bytes(picture.read_bytes())
        assert picture.stat().st_size > 10_000
        assert [url for url in tab.requested() if not url.startswith("data:")] == [report.as_uri()]
        assert tab.complaints() == []


def test_the_table_of_files_is_sorted_by_a_click_or_the_keyboard(report, tmp_path):
    with open_tab(tmp_path) as tab:
        tab.open(report.as_uri(), 1440, 900)
        column = (
            "[...document.querySelectorAll('table.sortable tbody tr')]"
            ".map(r => r.cells[{}].textContent)"
        )
        before = tab.value(column.format(0))
        assert len(before) == 14
        tab.click("table.sortable th:nth-child(2)")
        events = [int(n) for n in tab.value(column.format(1))]
        assert events == sorted(events)
        tab.click("table.sortable th:nth-child(2)")
        assert [int(n) for n in tab.value(column.format(1))] == events[::-1]
        tab.click("table.sortable th:nth-child(1)")
        assert tab.value(column.format(0)) == sorted(before)
        tab.value("document.querySelector('table.sortable th').focus()")
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r")
        assert tab.value(column.format(0)) == sorted(before)[::-1]
        assert tab.complaints() == []


def test_the_course_shows_the_shares_that_the_table_holds(report, tmp_path):
    rows = (report.parent / "hit-fraction.csv").read_text().splitlines()[1:]
    shares = [float(row.rsplit(",", 1)[1]) for row in rows]
    with open_tab(tmp_path) as tab:
        tab.open(report.as_uri(), 1440, 900)
        axis = tab.value(
            "[...document.querySelectorAll('svg.course text[text-anchor=end]')].map(e => "
            "Number(e.textContent))"
        )
        top = axis[2]
        line = (
            (
                "(() => {{ const p = document.querySelector('svg.course path.line'), n = [];"
                "for (const m of p.getAttribute('d').matchAll(/[ML]([0-9.]+),([0-9.]+)/g))"
                " n.push(Number(m[2])); return n; }})()"
            )
            .replace("{{", "{")
            .replace("}}", "}")
        )
        heights = np.array(tab.value(line))
    found = (216 - heights) / 200 * top
    np.testing.assert_allclose(found, shares, atol=top / 1000)


def test_an_empty_report_opens_too(tmp_path):
    from test_report import data

    write_report(tmp_path / "report.html", data())
    with open_tab(tmp_path) as tab:
        tab.open((tmp_path / "report.html").as_uri(), 390, 800)
        assert tab.value("document.documentElement.scrollWidth") <= 390
        assert tab.complaints() == []
