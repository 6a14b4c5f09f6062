"""Make the pictures of the documentation from the running program.

    python docs/make_pictures.py [FOLDER]

Needs a display (on a machine without one: ``tools/with-display python docs/make_pictures.py``).
It goes the straight line on simulated data: browse, label, train, sort; pictures are
written to ``docs/pictures`` or FOLDER.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WIDTH, HEIGHT = 1366, 768
PLUGIN = "napari-xfelsort"
N_LABELLED = 60


def main(folder: Path) -> None:
    """Write all pictures to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Short names look better in pictures than those of a cache folder.
    work = Path(tempfile.mkdtemp(prefix="beamtime-"))
    os.environ["XFELSORT_SAMPLES"] = str(work)
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(WIDTH, HEIGHT)
    try:
        Tour(viewer, work, folder).go()
    finally:
        viewer.close()


class Tour:
    """The straight line, with a picture at each station."""

    def __init__(self, viewer, work: Path, folder: Path) -> None:
        self.viewer, self.work, self.folder = viewer, work, folder

    def go(self) -> None:
        """From an opened run to sorted lists."""
        self.browse()
        self.label()
        self.profile()
        self.train()
        self.sort()

    def browse(self) -> None:
        """An assembled run with rings, peaks and the readout."""
        dock = self.dock("Open run")
        self.viewer.open_sample(PLUGIN, "run-to-label")
        run = self.active()
        run.go_to(12)
        self.viewer.cursor.position = (12, 74.0, 232.0)
        dock.data_section.collapse(animate=False)
        self.picture("browse")

    def label(self) -> None:
        """Labels by keys."""
        dock = self.dock("Label events")
        run = self.active()
        run.go_to(0)
        good = (self.work / "run1" / "truth" / "good.lst").read_text().splitlines()
        names = {line.rpartition(" ")[2] for line in good}
        for i in range(N_LABELLED):
            self.wait(lambda i=i: run.current == i and run.is_drawn)
            self.settle(2)
            dock.carry_out("good" if run.stack.event_id(i).event in names else "bad")
        self.settle()
        run.go_to(N_LABELLED - 1)
        self.picture("label")

    def profile(self) -> None:
        """Inflection points of the radial profile, with accepted ranges."""
        from napari_xfelsort.core.profiles import ProfileSettings

        dock = self.dock("Fit profiles")
        dock.form.set_settings(ProfileSettings(axis="q", order=7, statistic="median"))
        dock.fit_button.click()
        self.wait(lambda: dock.job is None and not dock.live.busy)
        self.picture("profile")

    def train(self) -> None:
        """A model on one panel, with its confusion matrix."""
        from napari_xfelsort.core.region import Region
        from napari_xfelsort.core.train_settings import TrainSettings

        dock = self.dock("Train a model")
        dock.region.set_region(Region.parse("panel:p6a0"))
        dock.form.set_settings(TrainSettings(bin=8, normalise="median"))
        dock.train_button.click()
        self.wait(lambda: dock.job is None)
        dock.model_file.set_paths(str(self.work / "first.xfelmodel"))
        dock.save_button.click()
        self.wait(lambda: dock.job is None)
        self.picture("train")

    def sort(self) -> None:
        """The second run, sorted with that model."""
        self.viewer.open_sample(PLUGIN, "run-to-sort")
        dock = self.dock("Sort events")
        dock.out.set_paths(str(self.work / "sorted"))
        dock.sort_button.click()
        self.wait(lambda: dock.job is None)
        self.picture("sort")

    # --- the window -----------------------------------------------------------------------

    def active(self):
        """The run that is shown."""
        from napari_xfelsort.widgets.runs import runs_of

        return runs_of(self.viewer).active

    def dock(self, name: str):
        """Open a dock, in front of those that are open."""
        outer, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
        outer.raise_()
        self.settle()
        return dock

    def settle(self, times: int = 12) -> None:
        """Let the window do what it has to."""
        from qtpy.QtWidgets import QApplication

        for _ in range(times):
            QApplication.processEvents()
            time.sleep(0.02)

    def wait(self, done: Callable[[], bool], seconds: float = 180) -> None:
        """Wait until something is done."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError("the program did not come to an end")
            self.settle(1)

    def picture(self, name: str) -> None:
        """Take a picture of the whole window."""
        from PIL import Image

        self.settle()
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        # 256 colours are plenty for a window, and a third of the bytes; the rare ones of
        # marks and legends must stay.
        picture = (
            Image.fromarray(pixels)
            .convert("RGB")
            .quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        )
        picture.save(self.folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    default = Path(__file__).parent / "pictures"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
