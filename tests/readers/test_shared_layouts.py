"""The shared sample files are read as their expected.json says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xfelsort.core import errors
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack
from programs import program

CASES = [
    "a1_cheetah_cxi",
    "a2_cheetah_crashed",
    "a4_cheetah_assembled_too",
    "b1_psocake",
    "b4_om_cheetah",
    "c1_euxfel_proc_run",
    "d1_dectris_master",
    "d2_dectris_missing_link",
    "d5_nxmx_vds_nxs",
    "d7_swissfel_corrected",
    "e1_sacla_mpccd",
    "e2_sacla_dataconvert",
    "f1_nexus_default",
    "f3_generic_no_attrs",
    "f6_slab_4d_modules",
    "g1_cxidb_image",
    "g2_cxi_multi_entry",
    "h1_dragonfly_h5",
    "n01_truncated",
    "n02_zero_events",
    "n03_wrong_rank",
    "n06_nans",
    "n07_huge_event_count",
    "n08_unicode_path",
    "n10_swmr",
    "n12_geometry_mismatch",
    "n14_lists",
    "n15_mixed_shapes_list",
]


class Case:
    """One folder of samples with its expectations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: dict[str, Any] = json.loads((folder / "expected.json").read_text("utf-8"))
        self.expect: dict[str, Any] = self.said["expect"]
        self.behaviour: str = self.said["behaviour"]
        geometry = self.said.get("geometry")
        self.geometry = folder / geometry if geometry else None

    @property
    def path(self) -> Path:
        return self.folder / self.said["open"][0]

    def opened(self, geometry: bool = False) -> EventStack:
        return open_stack(self.path, geometry=self.geometry if geometry else None)


@pytest.fixture
def case(request: pytest.FixtureRequest, shared_data: Path) -> Case:
    return Case(shared_data / "layouts" / request.param)


def cases_with(*keys: str, refused: bool = False) -> Any:
    """Parametrise over the sample folders whose expectation has one of these keys.

    The names are fixed above, so that collection needs no shared data; a case without
    the key is left out when the data are there.
    """
    default = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("XFELSORT_TEST_DATA", default)) / "layouts"
    chosen = []
    for name in CASES:
        file = root / name / "expected.json"
        if file.is_file():
            said = json.loads(file.read_text("utf-8"))
            if (said["behaviour"] in ("error", "decline")) != refused:
                continue
            if keys and not any(k in said["expect"] or k in said for k in keys):
                continue
        chosen.append(name)
    return pytest.mark.parametrize("case", chosen, indirect=True)


def problem_text(stack: EventStack) -> str:
    return " | ".join(str(problem) for problem in stack.problems)


def test_no_sample_is_left_out(shared_data: Path) -> None:
    names = {p.parent.name for p in (shared_data / "layouts").glob("*/expected.json")}
    assert names == set(CASES)


@cases_with("n_events", "n_events_valid", "n_events_compatible")
def test_number_of_events(case: Case) -> None:
    if case.behaviour == "ok-or-decline":
        pytest.skip("may be declined; see test_may_be_declined")
    wanted = [case.expect[k] for k in case.expect if k.startswith("n_events")]
    assert len(case.opened()) == wanted[0]


@cases_with("raw_frame_shape", "dtype")
def test_shape_and_type(case: Case) -> None:
    if case.behaviour == "ok-or-error":
        pytest.skip("a file left by a killed writer; see test_stale_swmr")
    stack = case.opened()
    assert list(stack.raw_shape) == case.expect["raw_frame_shape"]
    if "dtype" in case.expect:
        assert stack.dtype == np.dtype(case.expect["dtype"])


@cases_with("samples")
def test_every_sample_pixel(case: Case) -> None:
    stack = case.opened()
    samples = case.expect["samples"]
    frames = {e: stack.raw(e) for e in sorted({s["event"] for s in samples})}
    got = [float(frames[s["event"]][tuple(s["index"])]) for s in samples]
    np.testing.assert_array_equal(got, [float(s["value"]) for s in samples])


@cases_with("also")
def test_also_selectable_dataset(case: Case) -> None:
    also = case.expect["also"]
    stack = open_stack(case.path, dataset=also["dataset"])
    assert list(stack.raw_shape) == also["frame_shape"]
    for sample in also["samples"]:
        assert stack.raw(sample["event"])[tuple(sample["index"])] == sample["value"]


@cases_with("event_ids")
def test_event_ids(case: Case) -> None:
    stack = case.opened()
    wanted = case.expect["event_ids"]
    events = [stack.event_id(i) for i in range(len(stack))]
    forms = {
        "identifier": [stack.identifier(i) for i in range(len(stack))],
        "event part": [e.event for e in events],
        "whole name": [str(e) for e in events],
        "name in the list's folder": [
            str(e).removeprefix(f"{case.folder}{os.sep}") for e in events
        ],
    }
    assert wanted in forms.values(), f"{wanted} is none of {forms}"


@cases_with("crystfel_says")
def test_event_ids_are_crystfel_s(case: Case) -> None:
    """The event parts are those that libcrystfel gave for file and geometry."""
    wanted = case.said["crystfel_says"]["event_ids"]
    stack = case.opened(geometry=True)
    if case.said["id"] == "d1_dectris_master":
        pytest.skip("its geometry names a single data file, the master holds three")
    assert [stack.event_id(i).event for i in range(len(stack))] == wanted


@cases_with("photon_energy_eV")
def test_photon_energy(case: Case) -> None:
    stack = case.opened(geometry=case.geometry is not None)
    wanted = case.expect["photon_energy_eV"]
    if len(wanted) == 1:
        wanted = wanted * len(stack)
    got = [stack.photon_energy(i) for i in range(len(stack))]
    assert got == pytest.approx(wanted, rel=1e-5)


@cases_with("detector_distance_m")
def test_detector_distance(case: Case) -> None:
    assert case.opened().camera_length(0) == pytest.approx(case.expect["detector_distance_m"])


@cases_with("clen_m")
def test_camera_length_by_geometry(case: Case) -> None:
    stack = case.opened(geometry=True)
    assert stack.camera_length(0) == pytest.approx(case.expect["clen_m"], rel=1e-3)


@cases_with("n_peaks")
def test_number_of_peaks(case: Case) -> None:
    stack = case.opened()
    counts = []
    for i in range(len(stack)):
        peaks = stack.peaks(i)
        assert peaks is not None
        assert len(peaks.fs) == len(peaks.ss) == len(peaks.intensity)
        counts.append(len(peaks.fs))
    assert counts == case.expect["n_peaks"]


@cases_with("peak0")
def test_first_peak(case: Case) -> None:
    peaks = case.opened().peaks(0)
    assert peaks is not None
    assert [float(part[0]) for part in peaks] == pytest.approx(case.expect["peak0"])


@cases_with("mask")
def test_mask_counts(case: Case) -> None:
    said = case.expect["mask"]
    by_geometry = ":" in said.get("dataset", "")
    stack = case.opened(geometry=by_geometry)
    counts = said["n_bad"] * (len(stack) if len(said["n_bad"]) == 1 else 1)
    masks = [stack.event_mask(i) for i in range(len(stack))]
    assert [0 if m is None else m.n_bad for m in masks] == counts
    if not said["per_event"]:
        assert stack.mask is not None
        assert stack.mask.n_bad == said["n_bad"][0]


@cases_with("crystfel_says")
def test_bad_pixels_are_crystfel_s(case: Case) -> None:
    """File mask, bad regions, edges and flags together, as libcrystfel counts them."""
    stack = case.opened(geometry=True)
    for event, said in case.said["crystfel_says"]["frames"].items():
        positions = [i for i in range(len(stack)) if stack.event_id(i).event == event]
        if not positions or "nbad" not in said:
            continue
        mask = stack.event_mask(positions[0])
        assert (0 if mask is None else mask.n_bad) == said["nbad"], event


@cases_with("masked_values")
def test_masked_sentinels_are_bad(case: Case) -> None:
    stack = case.opened()
    for i in range(len(stack)):
        mask = stack.event_mask(i)
        assert mask is not None
        flagged = np.isin(stack.raw(i), case.expect["masked_values"])
        assert flagged.any()
        assert mask.bad[flagged].all()


@cases_with("n_nan")
def test_nans_are_kept(case: Case) -> None:
    stack = case.opened()
    got = [int(np.isnan(stack.raw(i)).sum()) for i in range(len(stack))]
    assert got == case.expect["n_nan"]


@cases_with("positions")
def test_positions_with_the_geometry(case: Case) -> None:
    stack = case.opened(geometry=True)
    assert stack.geometry is not None
    x, y, _ = stack.geometry.positions()
    assert x.shape == tuple(stack.raw_shape)
    pixels = [tuple(p["index"]) for p in case.said["positions"]]
    assert case.geometry is not None
    res = re.search(r"^res\s*=\s*([\d.]+)", case.geometry.read_text(), re.MULTILINE)
    assert res is not None
    per_metre = float(res[1])
    for pixel, wanted in zip(pixels, case.said["positions"], strict=True):
        assert x[pixel] * per_metre == pytest.approx(wanted["x_px"], abs=5e-3)
        assert y[pixel] * per_metre == pytest.approx(wanted["y_px"], abs=5e-3)


@cases_with("also_open", "lists")
def test_other_ways_in(case: Case) -> None:
    for name in case.said.get("also_open", []):
        stack = open_stack(case.folder / name)
        assert list(stack.raw_shape) == case.expect["raw_frame_shape"]
        assert stack.raw(0).shape == stack.raw_shape


def test_listed_event_of_a_unicode_path(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "n08_unicode_path")
    stack = open_stack(case.folder / "list.lst")
    assert len(stack) == 1
    assert stack.raw(0)[0, 0] == 1000


@cases_with("first_pixels")
def test_listed_events_in_order(case: Case) -> None:
    stack = case.opened()
    got = [float(stack.raw(i)[0, 0]) for i in range(len(stack))]
    assert got == case.expect["first_pixels"]


LISTS = ["all", "crlf", "comments", "missing", "badevent", "notalist"]


@pytest.mark.parametrize("name", [f"{name}.lst" for name in LISTS])
def test_lists(name: str, shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "n14_lists")
    said = case.said["lists"][name]
    if said.get("behaviour") == "decline":
        with pytest.raises(errors.XfelsortError, match=name):
            open_stack(case.folder / name)
        return
    stack = open_stack(case.folder / name)
    assert len(stack) == said["n_events"]
    if "first_pixels" in said:
        got = [float(stack.raw(i)[0, 0]) for i in range(len(stack))]
        assert got == said["first_pixels"]
    if "names" in said:
        assert said["names"] in problem_text(stack)


def test_missing_link_is_named(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "d2_dectris_missing_link")
    stack = case.opened()
    assert case.expect["missing"] in problem_text(stack)
    last = stack.raw(3)
    assert last[0, 0] == 6000


def test_incompatible_file_is_named(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "n15_mixed_shapes_list")
    assert case.expect["incompatible"] in problem_text(case.opened())


def test_geometry_mismatch_is_told(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "n12_geometry_mismatch")
    stack = case.opened(geometry=True)
    text = problem_text(stack)
    for number in (*case.expect["raw_frame_shape"], *case.expect["geometry_needs"]):
        assert str(number) in text
    assert stack.geometry is None


@cases_with(refused=True)
def test_refused_with_a_sentence(case: Case) -> None:
    with pytest.raises(errors.XfelsortError) as refusal:
        case.opened()
    text = str(refusal.value)
    assert case.path.name in text
    assert len(text.split()) > 4


def opened_unless_refused(path: Path) -> EventStack | None:
    """The stack, or None when it was refused by a sentence naming the file."""
    try:
        return open_stack(path)
    except errors.XfelsortError as refusal:
        if path.name not in str(refusal):
            raise
        return None


def test_may_be_declined(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "h1_dragonfly_h5")
    stack = opened_unless_refused(case.path)
    if stack is None:
        return
    assert len(stack) == case.expect["n_events"]
    assert [int(stack.raw(i).sum()) for i in range(len(stack))] == case.expect["photons"]


def test_crashed_cheetah_is_told(shared_data: Path) -> None:
    case = Case(shared_data / "layouts" / "a2_cheetah_crashed")
    assert case.path.name in problem_text(case.opened())


@pytest.mark.parametrize("name", ["a1_cheetah_cxi", "b1_psocake", "d7_swissfel_corrected"])
def test_geometry_beside_is_not_applied(name: str, shared_data: Path) -> None:
    assert Case(shared_data / "layouts" / name).opened().geometry is None


def test_stale_swmr(shared_data: Path, tmp_path: Path) -> None:
    """A file whose writer was killed opens with what is complete, or says what to do."""
    case = Case(shared_data / "layouts" / "n10_swmr")
    path = tmp_path / case.path.name
    shutil.copy(case.path, path)
    stack = opened_unless_refused(path)
    if stack is None:
        return
    assert list(stack.raw_shape) == case.expect["raw_frame_shape"]
    assert stack.dtype == np.dtype(case.expect["dtype"])
    assert stack.raw(0)[0, 0] == 0


def test_live_swmr(shared_data: Path, tmp_path: Path) -> None:
    """A file that grows in SWMR mode opens with the events that are complete."""
    case = Case(shared_data / "layouts" / "n10_swmr")
    script, name, n, delay = case.said["live"]
    path = tmp_path / name
    command = [sys.executable, case.folder / script, path, n, delay]
    with program(*command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline().strip() == "READY"
        stack = open_stack(path)
        assert len(stack) >= 1
        assert list(stack.raw_shape) == case.expect["raw_frame_shape"]
        s, q = np.ogrid[:64, :64]
        np.testing.assert_array_equal(stack.raw(0), (7 * s + 3 * q) % 251)
