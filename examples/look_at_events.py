"""Read events of any layout: raw, assembled, peaks, and the resolution of a pixel.

python examples/look_at_events.py FILE [GEOMETRY]
"""

from __future__ import annotations

import sys

import numpy as np

import napari_xfelsort as xs


def main(path: str, geometry: str | None = None) -> None:
    """Print what the first event of a file is like."""
    stack = xs.open_stack(path, geometry=geometry)
    print(f"{len(stack)} events of {stack.raw_shape} {stack.dtype}")
    for problem in stack.problems:
        print(f"problem: {problem}")
    image = stack.assembled(0)
    print(f"{stack.event_id(0)}: assembled {image.shape}, median {np.nanmedian(image):.0f}")
    print(f"{stack.photon_energy(0):.0f} eV, {1e3 * stack.camera_length(0):.1f} mm")
    peaks = stack.peaks(0)
    if peaks is not None and len(peaks.fs):
        brightest = int(np.argmax(peaks.intensity))
        fs, ss = peaks.fs[brightest], peaks.ss[brightest]
        print(f"{len(peaks.fs)} stored peaks, the brightest at fs {fs:.1f}, ss {ss:.1f}")
    # One event a chunk: napari and dask read only what they show or compute.
    print(stack.to_dask())


if __name__ == "__main__":
    main(*sys.argv[1:3])
