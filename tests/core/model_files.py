"""Model files taken apart and put together again by a stranger."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import napari_xfelsort as xs
from napari_xfelsort.core.errors import ModelError


def members(data: bytes) -> dict[str, bytes]:
    """What is in a zip, by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return {name: source.read(name) for name in source.namelist()}


def packed(parts: dict[str, bytes]) -> bytes:
    """A zip of these."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in parts.items():
            target.writestr(name, data)
    return out.getvalue()


def refused(tmp_path: Path, data: bytes, why: str) -> None:
    """Such a file is refused for this reason, and named."""
    path = tmp_path / "evil.xfelmodel"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=why) as error:
        xs.load_model(path)
    assert "evil.xfelmodel" in str(error.value)


def spoilt(data: bytes, rng: np.random.Generator, n: int, depth: int) -> bytes:
    """Bytes changed at random: in the zip, in a member, or in a member of the weights."""
    if depth:
        parts = members(data)
        name = "weights.skops" if depth == 2 else sorted(parts)[rng.integers(len(parts))]
        return packed(parts | {name: spoilt(parts[name], rng, n, depth - 1)})
    array = np.frombuffer(data, np.uint8).copy()
    array[rng.integers(0, len(array), n)] = rng.integers(0, 256, n)
    return array.tobytes()


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
