"""Label, train and sort from Python: the same steps as on the command line.

    python examples/sort_a_run.py [FOLDER]

Writes simulated runs and the results to FOLDER (default: xfelsort-example).
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari_xfelsort as xs
from napari_xfelsort.core.simulate import simulate_detector


def main(folder: Path) -> None:
    """Simulate two runs, train on the first, sort the second."""
    first = simulate_detector(folder / "run1", run=1, seed=1)
    second = simulate_detector(folder / "run2", run=2, seed=2)

    # Labels: from lists here; store.set(event_id, "good") labels a single event.
    store = xs.LabelStore(folder / "labels")
    store.import_lists({"good": first.good_list, "bad": first.bad_list})

    stack = xs.open_stack(first.data, geometry=first.geometry)
    model = xs.train(stack, store, region="panel:p6a0", bin=8, normalise="median")
    print(model.report_text())
    model.save(folder / "first.xfelmodel")

    summary = xs.sort(xs.open_stack(second.data), model, folder / "sorted")
    print(summary.to_text())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "xfelsort-example"))
