"""``xfelsort label`` by rules, against the file read with h5py."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from napari_xfelsort._cli_label_rules import parse_range
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.events import EventId
from napari_xfelsort.core.labels import LabelStore


def labels_in(folder: str, n: int) -> list[str | None]:
    found = {event.event: label for event, label in LabelStore(folder, "x").labels().items()}
    return [found.get(f"//{i}") for i in range(n)]


def test_by_peaks_kept_by_hand_and_withdrawn(cli, runs):
    data = runs[1].data
    with h5py.File(data) as file:
        peaks = file["entry_1/result_1/nPeaks"][()]
    store = LabelStore("labels", "ada")
    store.set(store_event(data, 0), "ice")
    arguments = ["label", data, "--labels", "labels", "--labeller", "ada", "--by-peaks"]
    result = cli(*arguments, 60)
    assert result.exit_code == 0, result.output
    assert "peaks from 60: good; else bad" in result.output
    assert "left so: 1 event." in result.output
    expected = ["ice", *("good" if n >= 60 else "bad" for n in peaks[1:])]
    assert labels_in("labels", 40) == expected
    result = cli(*arguments, "30:59", "--good", "outside", "--relabel")
    assert result.exit_code == 0, result.output
    expected = ["bad" if 30 <= n <= 59 else "good" for n in peaks]
    assert labels_in("labels", 40) == expected
    result = cli("label", "--labels", "labels", "--withdraw", "peaks")
    assert result.exit_code == 0, result.output
    assert labels_in("labels", 40) == ["ice"] + [None] * 39


def store_event(data, i):
    return EventId(str(data), f"//{i}")


def test_by_mean_of_a_panel_and_by_metadata(cli, runs):
    data, geometry = runs[1].data, runs[1].geometry
    with h5py.File(data) as file:
        frames = file["entry_1/data_1/data"][()]
        good = file["entry_1/data_1/mask"][:44, :48] == 0
        energy = file["LCLS/photon_energy_eV"][()]
    means = frames[:, :44, :48][:, good].mean(axis=1)
    middle = float(np.median(means))
    options = ["--labels", "labels", "--geometry", geometry, "--region", "panel:p0a0"]
    result = cli("label", data, "--by-mean", f"{middle}:", *options)
    assert result.exit_code == 0, result.output
    assert labels_in("labels", 40) == ["good" if m >= middle else "bad" for m in means]
    result = cli("label", data, "--by-metadata", "photon_energy=:9500", "--labels", "other")
    assert result.exit_code == 0, result.output
    assert labels_in("other", 40) == ["good" if e <= 9500 else "bad" for e in energy]
    result = cli("label", data, "--by-metadata", "absent=1", "--labels", "none")
    assert result.exit_code == 3
    assert "No number 'absent' stored" in result.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "--by-peaks MIN"),
        (["--by-peaks", "3", "--by-mean", "3"], "too much does"),
        (["--by-peaks", "3", "--from-lists", "a.lst"], "too much does"),
        (["--by-peaks", "3"], "needs the data"),
        (["--by-peaks", "many"], "no range"),
        (["--withdraw", "peaks"], "no label folder"),
    ],
)
def test_what_is_no_rule(cli, options, why):
    result = cli("label", "--labels", "labels", *options)
    assert result.exit_code == 1
    assert why in result.stderr


def test_ranges():
    assert parse_range("mean", "-5:10") == ("mean", "", -5, 10)
    assert parse_range("peaks", ":10")[2:] == (-np.inf, 10)
    assert parse_range("percentile", "99=20:") == ("percentile", "99", 20, np.inf)
    assert parse_range("metadata", "a=b=1")[:3] == ("metadata", "a=b", 1)
    for kind, text in [("mean", ""), ("mean", ":"), ("mean", "a=3"), ("saturated", "3")]:
        with pytest.raises(LabelError, match="no range"):
            parse_range(kind, text)
    with pytest.raises(LabelError, match="no range"):
        parse_range("percentile", "p=3")
