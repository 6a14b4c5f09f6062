"""The report: complete in itself, safe with hostile names, right in its numbers."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_xfelsort.core.errors import OutputError, Problem
from napari_xfelsort.core.report import (
    ReportData,
    Thumbnail,
    shrink,
    write_report,
)

HOSTILE = "<script>alert('x')</script>\"&$title${body}"


def data(**more):
    values = {
        "title": "Sorting",
        "subtitle": "two files",
        "totals": {"good": 7, "bad": 2, "unsure": 0, "failed": 1},
        "columns": ["file", "events", "status"],
        "rows": [["a.cxi", 9, "done"], ["b.cxi", 10, "failed"]],
    }
    return ReportData(**{**values, **more})


class Page(HTMLParser):
    """Elements, their attributes, and the text of cells."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.cells, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, text):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += text


def page_of(tmp_path, **more):
    write_report(tmp_path / "report.html", data(**more))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def thumbnail(frame=None, **more):
    frame = np.arange(12.0).reshape(3, 4) if frame is None else frame
    values = {"group": "good", "kind": "surest", "event": "a.cxi //3", "confidence": 0.987}
    return Thumbnail(**{**values, **more}, frame=frame)


FULL = {
    "histograms": {"good": np.array([4, 0, 1, 16]), "bad": np.array([0, 0, 0, 0])},
    "thumbnails": [thumbnail(), thumbnail(kind="least sure")],
    "model": {"classes": ["good", "bad"], "threshold": 0.5},
    "training": {"settings": {"model": "random_forest"}, "n_features": 12},
    "metrics": {
        "n": 45,
        "accuracy": 0.9333333,
        "classes": ["good", "bad"],
        "columns": ["good", "bad"],
        "confusion": [[28, 2], [1, 14]],
        "per_class": {"good": {"precision": 28 / 29, "support": 30, "f1": None}},
        "split": {"kind": "event"},
    },
    "settings": {"block_events": 4096},
    "failures": [Problem("b.cxi", "b.cxi is torn.")],
    "notes": ["The class 'bad' is rare."],
}


def test_numbers_of_every_section_are_shown(tmp_path):
    text, page = page_of(tmp_path, **FULL)
    assert page.cells[:3] == ["file", "events", "status"]
    for cell in ("a.cxi", "9", "28", "14", "0.9333", "0.966", "random_forest", "good, bad"):
        assert cell in page.cells
    for part in ("70.0%", "b.cxi is torn.", "The class &#x27;bad&#x27; is rare.", "0.987"):
        assert part in text
    # One bar a bin, for the class that has any event.
    bars = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert [float(bar["height"]) for bar in bars] == [60.0, 0.0, 30.0, 120.0]


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    text, page = page_of(tmp_path, **FULL)
    assert not re.search(r"https?:|//[a-z]+\.|url\(|@import", text.replace("//3", ""))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "base")
        assert "href" not in attributes
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
    metas = {next(iter(a.items())) for tag, a in page.elements if tag == "meta"}
    assert ("name", "viewport") in metas
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy


def test_names_of_strangers_stay_text(tmp_path):
    _, page = page_of(
        tmp_path,
        title=HOSTILE,
        subtitle=HOSTILE,
        totals={HOSTILE: 1},
        columns=[HOSTILE, "n"],
        rows=[[HOSTILE, 1], ["\udcff.cxi", 2]],
        histograms={HOSTILE: np.array([1])},
        thumbnails=[thumbnail(group=HOSTILE, kind=HOSTILE, event=HOSTILE)],
        model={HOSTILE: HOSTILE},
        metrics={
            HOSTILE: HOSTILE,
            "classes": [HOSTILE],
            "columns": [HOSTILE],
            "confusion": [[1]],
            "per_class": {HOSTILE: {HOSTILE: 1.0}},
        },
        training={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        failures=[Problem(HOSTILE, HOSTILE)],
        notes=[HOSTILE],
    )
    assert [tag for tag, _ in page.elements].count("script") == 1  # the one of the template
    assert page.cells.count(HOSTILE) >= 8
    assert "?.cxi" in page.cells


def test_an_empty_sort_has_a_page_too(tmp_path):
    text, _ = page_of(tmp_path, totals={"good": 0}, rows=[])
    assert "<h2>Files</h2>" not in text


def test_a_long_list_of_failures_is_cut(tmp_path):
    text, _ = page_of(tmp_path, failures=[Problem("a", f"a {k} is torn.") for k in range(1000)])
    assert "a 199 is torn." in text
    assert "a 200 is torn." not in text
    assert "800 more" in text


def test_a_report_is_not_replaced_unasked(tmp_path):
    write_report(tmp_path / "r.html", data())
    with pytest.raises(OutputError, match="exists already"):
        write_report(tmp_path / "r.html", data())
    write_report(tmp_path / "r.html", data(title="Again"), overwrite=True)
    assert "<h1>Again</h1>" in (tmp_path / "r.html").read_text()


# --- thumbnails -------------------------------------------------------------------------


def test_a_thumbnail_is_a_png_of_the_frame(tmp_path):
    from matplotlib import image

    frame = np.zeros((500, 300), np.uint16)
    frame[:250] = 1000
    _, page = page_of(tmp_path, thumbnails=[thumbnail(frame)])
    (source,) = [a["src"] for tag, a in page.elements if tag == "img"]
    pixels = image.imread(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert pixels.shape == (167, 100, 4)  # every 3 x 3 pixels are one
    assert pixels[0, 0, 0] == 0  # strong is dark
    assert pixels[-1, 0, 0] == 1


@pytest.mark.parametrize(
    "frame",
    [
        np.full((3, 3), np.nan),
        np.full((3, 3), 7),
        np.array([[np.inf, -np.inf], [np.nan, 1.0]]),
        np.zeros((1, 1), bool),
        np.array([[2**31 - 1, -(2**31)]], np.int32),
    ],
)
def test_odd_frames_have_a_thumbnail(tmp_path, frame):
    text, _ = page_of(tmp_path, thumbnails=[thumbnail(frame)])
    assert "data:image/png" in text


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30)),
    st.integers(1, 40),
)
def test_shrinking_averages_blocks(frame, largest):
    small = shrink(frame, largest)
    assert max(small.shape) <= largest
    factor = -(-max(frame.shape) // largest)
    for y, x in np.ndindex(small.shape):
        block = frame[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert small[y, x] == pytest.approx(block.mean(dtype=np.float64))


def test_shrinking_leaves_gaps_out():
    frame = np.array([[1.0, np.nan, np.nan], [3.0, np.inf, np.nan]])
    assert np.array_equal(shrink(frame, 2), [[2.0, np.nan]], equal_nan=True)
