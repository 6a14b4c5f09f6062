"""Every layout of the catalogue, written by the mocks, is read as it was written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mock_layouts import LAYOUTS, Mock
from napari_xfelsort.core import errors
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import open_stack

#: A reader that waits for a pipe or walks in circles fails soon.
pytestmark = pytest.mark.timeout(60)


def problem_text(stack: EventStack) -> str:
    return " | ".join(str(problem) for problem in stack.problems)


def looked_at(n: int) -> list[int]:
    """Events whose pixels are compared: all of few, some of many."""
    return list(range(n)) if n <= 16 else sorted({0, 1, n // 2, n - 1})


def one_each(value: Sequence[float] | float, n: int) -> list[float]:
    return [float(value)] * n if isinstance(value, (int, float)) else [float(v) for v in value]


def same_number(got: float, wanted: float) -> bool:
    if math.isnan(wanted):
        return math.isnan(got)
    return math.isclose(got, wanted, rel_tol=1e-5)


def check_shape(stack: EventStack, mock: Mock) -> Iterator[str]:
    if mock.n_events is not None and len(stack) != mock.n_events:
        yield f"{len(stack)} events instead of {mock.n_events}"
    if mock.shapes is not None and tuple(stack.raw_shape) not in map(tuple, mock.shapes):
        yield f"raw shape {stack.raw_shape} instead of {mock.shapes}"
    if mock.dtype is not None and stack.dtype.newbyteorder("=") != np.dtype(
        mock.dtype
    ).newbyteorder("="):
        yield f"type {stack.dtype} instead of {np.dtype(mock.dtype)}"


def check_pixels(stack: EventStack, mock: Mock) -> Iterator[str]:
    for i in looked_at(len(stack)):
        wanted = mock.raw(i, tuple(stack.raw_shape))
        if wanted is not None:
            got = stack.raw(i)
            if got.dtype != stack.dtype:
                yield f"event {i} is of {got.dtype}, the stack of {stack.dtype}"
            if not np.array_equal(got, wanted, equal_nan=wanted.dtype.kind in "fc"):
                yield f"pixels of event {i} differ"
        if mock.assembled is not None:
            picture = stack.assembled(i)
            if not np.array_equal(picture, mock.assembled(i), equal_nan=True):
                yield f"assembled picture of event {i} differs (shape {picture.shape})"


def check_names(stack: EventStack, mock: Mock) -> Iterator[str]:
    every = looked_at(len(stack))
    if mock.event_ids is not None:
        got = [stack.event_id(i).event for i in every]
        wanted = [mock.event_ids[i] for i in every]
        if got != wanted:
            yield f"event ids {got} instead of {wanted}"
    if mock.identifiers is not None:
        names = [stack.identifier(i) for i in every]
        if names != [mock.identifiers[i] for i in every]:
            yield f"identifiers {names} instead of {list(mock.identifiers)}"
    found = [stack.find(stack.event_id(i)) for i in every]
    if mock.event_ids is not None and found != every:
        yield f"events {every} are found by their ids at {found}"


def check_numbers(stack: EventStack, mock: Mock) -> Iterator[str]:
    every = looked_at(len(stack))
    for what, wanted, read in (
        ("photon energy", mock.energies, stack.photon_energy),
        ("camera length", mock.camera_lengths, stack.camera_length),
    ):
        if wanted is not None:
            values = one_each(wanted, len(stack))
            got = [read(i) for i in every]
            if not all(same_number(g, values[i]) for g, i in zip(got, every, strict=True)):
                yield f"{what} {got} instead of {[values[i] for i in every]}"
    if mock.metadata:
        held = [np.asarray(v).tolist() for v in stack.metadata(0).values()]
        for value in mock.metadata:
            if value not in held:
                yield f"metadata of event 0 lack {value}: {stack.metadata(0)}"


def check_masks(stack: EventStack, mock: Mock) -> Iterator[str]:
    if mock.static_bad is not None:
        n_bad = 0 if stack.mask is None else stack.mask.n_bad
        if n_bad != mock.static_bad:
            yield f"{n_bad} pixels are bad in every event instead of {mock.static_bad}"
        if stack.mask is not None and stack.mask.reasons.shape != tuple(stack.raw_shape):
            yield f"the mask has shape {stack.mask.reasons.shape}"
    if mock.event_bad is not None:
        masks = [stack.event_mask(i) for i in looked_at(len(stack))]
        got = [0 if m is None else m.n_bad for m in masks]
        wanted = [mock.event_bad[i] for i in looked_at(len(stack))]
        if got != wanted:
            yield f"bad pixels of the events {got} instead of {wanted}"


def check_peaks(stack: EventStack, mock: Mock) -> Iterator[str]:
    if mock.n_peaks is not None:
        for i in looked_at(len(stack)):
            peaks = stack.peaks(i)
            if peaks is None:
                yield f"event {i} has no peaks instead of {mock.n_peaks[i]}"
            elif [len(part) for part in peaks] != [mock.n_peaks[i]] * 3:
                yield f"event {i} has {[len(p) for p in peaks]} peaks, not {mock.n_peaks[i]}"
    if mock.first_peak is not None:
        peaks = stack.peaks(0)
        first = None if peaks is None else tuple(float(part[0]) for part in peaks)
        if first != pytest.approx(mock.first_peak):
            yield f"first peak {first} instead of {mock.first_peak}"


def check_problems(stack: EventStack, mock: Mock) -> Iterator[str]:
    text = problem_text(stack)
    for word in mock.problems:
        if word.lower() not in text.lower():
            yield f"no problem names {word!r}: {text!r}"
    if not mock.problems and not mock.any_problems and stack.problems:
        yield f"problems where there are none: {text!r}"


CHECKS = (
    check_shape,
    check_pixels,
    check_names,
    check_numbers,
    check_masks,
    check_peaks,
    check_problems,
)


def complaints(stack: EventStack, mock: Mock) -> list[str]:
    """What differs from what was written, every aspect looked at."""
    found = list(check_shape(stack, mock))
    if mock.n_events is not None and len(stack) != mock.n_events:
        return [*found, f"problems: {problem_text(stack)!r}"]
    for check in CHECKS[1:]:
        try:
            found += check(stack, mock)
        except Exception as failure:  # noqa: BLE001 - a complaint like any other
            found.append(f"{check.__name__}: {failure!r}")
    return found


def check_refusal(failure: Exception, mock: Mock, allowed: Sequence[str]) -> None:
    kinds = tuple(getattr(errors, name) for name in allowed)
    assert isinstance(failure, kinds), f"{failure!r} instead of one of {allowed}"
    for word in mock.names:
        assert word in str(failure), f"{word!r} is not named in: {failure}"


def opened(mock: Mock) -> EventStack:
    paths: Any = mock.paths if len(mock.paths) > 1 else mock.paths[0]
    return open_stack(paths, **mock.options)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layout(name: str, tmp_path: Path) -> None:
    mock = LAYOUTS[name](tmp_path)
    try:
        stack = opened(mock)
    except Exception as failure:
        allowed = mock.error or (["XfelsortError"] if mock.may_decline else [])
        if not allowed:
            raise
        check_refusal(failure, mock, allowed)
        return
    assert not mock.error, f"{stack!r} was opened instead of {mock.error}"
    found = complaints(stack, mock)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_reading_writes_nothing(name: str, tmp_path: Path) -> None:
    """Opening and looking leaves folder and files as they were."""
    mock = LAYOUTS[name](tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    try:
        stack = opened(mock)
        stack.raw(0)
    except errors.XfelsortError:
        pass
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("window", [(slice(3, 9), slice(5, 30)), (slice(0, 1), slice(None))])
@pytest.mark.parametrize(
    "name",
    [
        "a1_cheetah_slab",
        "b2_btx_master",
        "c1_agipd_proc_run",
        "c2_agipd_raw_run",
        "c3_jungfrau_burst_run",
        "c5_virtual_cxi_raw",
        "d1_eiger_master",
        "e2_sacla_data_convert",
        "f5_path_and_dim_placeholders",
        "f5_two_event_axes",
        "f6_event_axis_last",
        "g2_multi_entry",
        "n14_list_of_events",
        "n20_giant_chunk",
    ],
)
def test_windows(name: str, window: tuple[slice, slice], tmp_path: Path) -> None:
    """A window of a frame is the same as that part of the whole frame."""
    mock = LAYOUTS[name](tmp_path)
    stack = opened(mock)
    part = (*(slice(1, 2),) * (len(stack.raw_shape) - 2), *window)
    for block in stack.blocks(3):
        values = stack.read_block(block, part)
        for k, position in enumerate(block.positions.tolist()):
            wanted = mock.raw(position, tuple(stack.raw_shape))
            assert wanted is not None
            np.testing.assert_array_equal(values[k], wanted[part])
