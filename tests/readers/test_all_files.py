"""Sources know every file that they read: without the others they read the same."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mock_layouts import LAYOUTS
from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.readers import hdf5, open_stack

pytestmark = pytest.mark.timeout(60)


def told(stack: EventStack) -> list[Any]:
    """All that features are made of, of the first and the last event of each source."""
    found: list[Any] = []
    for source in stack.sources:
        for i in {0, len(source) - 1}:
            mask = source.event_mask(i)
            peaks = source.peaks(i)
            found += [
                source.read(i).tobytes(),
                repr(sorted(source.metadata(i).items())),
                None if peaks is None else [np.asarray(part).tobytes() for part in peaks],
                None if mask is None else mask.reasons.tobytes(),
                repr((source.photon_energy(i), source.camera_length(i))),
            ]
    return found


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_files_that_are_not_named_do_not_matter(name, tmp_path):
    mock = LAYOUTS[name](tmp_path)
    try:
        stack = open_stack([str(path) for path in mock.paths])
        sources = copy.deepcopy(stack.sources)  # as opened, nothing read yet
        before = told(stack)
    except XfelsortError:
        pytest.skip("these files are refused, or need a geometry")
    named = {os.path.realpath(file) for source in stack.sources for file in source.all_files()}
    assert named
    assert all(Path(file).is_file() for file in named)
    stack.close()
    hdf5.POOL.close_all()
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file() and not path.is_symlink() and os.path.realpath(path) not in named:
            path.unlink()
    again = copy.copy(stack)
    again.sources = sources
    try:
        assert told(again) == before
    finally:
        again.close()
        hdf5.POOL.close_all()
