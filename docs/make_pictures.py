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

#: A small window, as of a laptop at a beamline, and a large one.
SIZE, LARGE = (1366, 768), (1920, 1080)
PLUGIN = "napari-xfelsort"
N_LABELLED = 60
#: Colours of a picture that stay exactly as they are.
N_EXACT = 40


def main(folder: Path) -> None:
    """Write all pictures to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Short names look better in pictures than those of a cache folder.
    work = Path(tempfile.mkdtemp(prefix="beamtime-"))
    os.environ["XFELSORT_SAMPLES"] = str(work)
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    try:
        Tour(viewer, work, folder).go()
    finally:
        viewer.close()


class Tour:
    """The straight line, with a picture at each station."""

    def __init__(self, viewer, work: Path, folder: Path) -> None:
        self.viewer, self.work, self.folder = viewer, work, folder
        self.size = SIZE

    def go(self) -> None:
        """From an opened run to sorted lists."""
        self.browse()
        self.center()
        self.mask()
        self.label()
        self.rule()
        self.profile()
        self.train()
        self.sort()
        self.anomalies()
        self.peaks()
        self.spi()

    def browse(self) -> None:
        """An assembled run with rings, peaks and the readout."""
        dock = self.dock("Open run")
        self.viewer.open_sample(PLUGIN, "run-to-label")
        run = self.active()
        run.go_to(12)
        self.viewer.cursor.position = (12, 74.0, 232.0)
        dock.data_section.collapse(animate=False)
        self.picture("browse")

    def center(self) -> None:
        """The beam centre found in the mean of many events, with its radial profile."""
        dock = self.dock("Beam centre")
        dock.form.kind.setCurrentIndex(dock.form.kind.findData("mean"))
        dock.form.find_button.click()
        self.wait(lambda: dock.job is None and not dock.live.busy)
        self.picture("center")
        dock.overlay.remove()

    def mask(self) -> None:
        """A mask of a dark and a flat-field run while it is made, and what is seen of it."""
        others = list(self.viewer.layers)
        self.viewer.open_sample(PLUGIN, "dark-and-flat")
        run = self.active()
        dock = self.dock("Mask")
        self.viewer.reset_view()
        dock.make_page.dark.source.setCurrentText("files")
        dock.make_page.dark.files.set_paths(run.opened.paths[0].replace("flat", "dark"))
        dock.make_page.make_button.click()
        self.wait(lambda: dock.job is None or dock.progress.value() > 0)
        self.picture("mask-make")
        self.wait(lambda: dock.job is None)
        self.resize(LARGE)
        dock.look_page.pixel.show_pixel(self.look_at_a_noisy_pixel(dock))
        self.wait(lambda: bool(dock.look_page.pixel.traces))
        self.picture("mask-look", LARGE)
        dock.verticalScrollBar().setValue(0)
        self.draw_on_mask(dock)
        self.resize(SIZE)
        self.picture("mask-edit")
        dock.edit_page.put_down()
        for layer in [layer for layer in self.viewer.layers if layer not in others]:
            if layer in self.viewer.layers:  # with a run go the layers that belong to it
                self.viewer.layers.remove(layer)
        self.settle()

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
        self.picture("label-large", LARGE)

    def rule(self) -> None:
        """A range of the number of stored peaks, and what it would label the event shown."""
        dock = self.dock("Label by rule")
        dock.compute_button.click()
        self.wait(lambda: dock.job is None)
        self.settle()
        self.picture("rule")

    def profile(self) -> None:
        """Inflection points of the radial profile, with accepted ranges; the profile of a line."""
        from napari_xfelsort.core.profiles import ProfileSettings
        from napari_xfelsort.core.region import Region

        dock = self.dock("Fit profiles")
        dock.form.set_settings(ProfileSettings(axis="q", order=7, statistic="median"))
        dock.fit_button.click()
        self.wait(lambda: dock.job is None and not dock.live.busy)
        self.picture("profile")
        layer = self.draw_line()
        dock.region.way.setCurrentIndex(dock.region.way.findData("shapes"))
        dock.form.set_settings(ProfileSettings(axis="x"))
        self.settle()
        self.wait(lambda: not dock.live.busy)
        dock.verticalScrollBar().setValue(0)
        self.picture("profile-large", LARGE)
        dock.region.set_region(Region())
        self.viewer.layers.remove(layer)

    def look_at_a_noisy_pixel(self, dock) -> tuple[int, ...]:
        """Zoom in on one; gives its raw index."""
        import numpy as np

        from napari_xfelsort.core.masks.settings import MaskReason

        found = np.argwhere(dock.made.reasons & MaskReason.NOISE)
        pixel = tuple(found[len(found) // 2].tolist())
        x, y, _ = dock.state.run.stack.geometry.positions()
        grid = dock.state.run.stack.geometry.grid
        scene = self.viewer.scene if hasattr(self.viewer, "scene") else self.viewer
        scene.camera.center = (0, grid.rows(y)[pixel], grid.columns(x)[pixel])
        scene.camera.zoom = 12
        return pixel

    def draw_on_mask(self, dock) -> None:
        """A beam stop with its holder, and what is next to bad pixels."""
        from napari_xfelsort.core.masks.edits import Ellipse, Grow, Line

        grid = dock.state.run.stack.geometry.grid
        height, width = dock.state.run.stack.assembled_shape

        def places(*points):
            here = [(row * height, column * width) for row, column in points]
            return tuple(map(tuple, grid.laboratory(here).tolist()))

        corners = places((0.44, 0.44), (0.44, 0.56), (0.56, 0.56), (0.56, 0.44))
        dock.state.add(Ellipse(corners))
        dock.state.add(Line(places((0.53, 0.5), (0.53, 1)), width=0.02 * width * grid.pixel))
        dock.state.add(Grow())
        dock.show_page("Edit")
        dock.edit_page.tools.buttons()[1].click()

    def draw_line(self):
        """A line over the ring, as one draws it."""
        layer = self.viewer.add_shapes(
            [[[171.0, 20.0], [171.0, 130.0]]],
            shape_type="line",
            edge_width=5,
            edge_color="#ff8c42",
            name="line",
        )
        self.viewer.layers.selection.active = self.active().layer
        return layer

    def train(self) -> None:
        """A model on one panel: confusion matrix, threshold, important pixels."""
        from napari_xfelsort.core.region import Region
        from napari_xfelsort.core.train_settings import TrainSettings
        from napari_xfelsort.widgets.train_results import IMPORTANT, REPORT, THRESHOLD

        dock = self.dock("Train a model")
        dock.region.set_region(Region.parse("panel:p6a0"))
        dock.form.set_settings(TrainSettings(bin=8, normalise="median", cross_validate=True))
        dock.train_button.click()
        self.wait(lambda: dock.job is None and not dock.summary.busy)
        dock.model_file.set_paths(str(self.work / "first.xfelmodel"))
        dock.save_button.click()
        self.wait(lambda: dock.job is None)
        views = dock.results_panel
        self.view(dock, REPORT)
        self.picture("train")
        self.view(dock, THRESHOLD)
        views.threshold.band.click()
        self.picture("train-threshold")
        views.threshold.show_own()
        self.view(dock, IMPORTANT)
        views.important.draw()
        self.view(dock, IMPORTANT)
        self.picture("train-pixels")
        views.important.remove()
        self.view(dock, REPORT)

    def view(self, dock, name: str) -> None:
        """Show one view of a model, from its top."""
        dock.results_panel.show_view(name)
        self.settle()
        dock.verticalScrollBar().setValue(dock.results.y())
        self.settle()

    def sort(self) -> None:
        """The second run, sorted with that model."""
        self.viewer.open_sample(PLUGIN, "run-to-sort")
        dock = self.dock("Sort events")
        dock.out.set_paths(str(self.work / "sorted"))
        dock.sort_button.click()
        self.wait(lambda: dock.job is None)
        self.wait(lambda: dock.card.is_current)
        dock.show_file(dock.table.rows[0])
        self.wait(lambda: not dock.opener.busy)
        self.viewer.reset_view()
        self.picture("sort")
        self.watch(dock)

    def watch(self, dock) -> None:
        """A folder in which runs appear, sorted as they come."""
        from napari_xfelsort.core.simulate import simulate_detector

        live = self.work / "live"
        live.mkdir()
        dock.what.setCurrentText("other data")
        dock.source.data.set_paths(str(live))
        dock.source.geometry_file.set_paths(str(next((self.work / "run2").glob("*.geom"))))
        dock.out.set_paths(str(self.work / "live-sorted"))
        dock.watch_box.setChecked(True)
        dock.watching.inputs["poll"].show_value(0.2)
        dock.watching.inputs["settle"].show_value(0.5)
        dock.where.workers.setValue(0)
        for number in range(11, 18):
            made = simulate_detector(
                self.work / f"made{number}", n_events=40, seed=number, run=number
            )
            os.replace(made.data, live / made.data.name)
            if number == 11:
                dock.sort_button.click()
            self.wait(lambda number=number: len(dock.table.rows) == number - 10)
            self.wait(lambda: all(row.state == "sorted" for row in dock.table.rows))
        self.wait(lambda: dock.rate.text().startswith("Waiting"))
        dock.ensureWidgetVisible(dock.results, 0, 0)
        dock.show_file(dock.table.rows[4])
        self.wait(lambda: not dock.opener.busy)
        self.picture("sort-watch", LARGE)
        dock.finish_button.click()
        self.wait(lambda: dock.job is None)

    def anomalies(self) -> None:
        """A run judged by the model that comes with the program, and where it sees ice."""
        from napari_xfelsort.core.simulate.anomalies import simulate_anomalies
        from napari_xfelsort.widgets.layers import Opened
        from napari_xfelsort.widgets.reading import open_layers
        from napari_xfelsort.widgets.runs import runs_of

        made = simulate_anomalies(self.work / "ice", n_events=24, seed=4, ice_ring=0.25)
        run = runs_of(self.viewer).add(open_layers(Opened((str(made.data),), str(made.geometry))))
        dock = self.dock("Anomalies")
        self.wait(lambda: not dock.busy)
        dock.judge_button.click()
        self.wait(lambda: not dock.busy, 1200)
        dock.bars.choose("ice_ring")
        run.go_to(18)  # smooth rings
        self.wait(lambda: run.is_drawn)
        run.set_contrast(1, 99.5)
        dock.where.show_button.click()
        self.wait(lambda: not dock.busy, 1200)
        self.viewer.reset_view()
        self.picture("anomalies", LARGE)

    def peaks(self) -> None:
        """A simulated run of serial crystallography that is searched for peaks."""
        from napari_xfelsort.widgets.layers import Opened
        from napari_xfelsort.widgets.reading import open_layers
        from napari_xfelsort.widgets.runs import runs_of
        from napari_xfelsort.widgets.samples import simulated_sfx

        data, geometry = simulated_sfx()
        run = runs_of(self.viewer).add(open_layers(Opened((data,), geometry)))
        dock = self.dock("Peaks")
        dock.find_button.click()
        self.wait(lambda: dock.job is None)
        run.go_to(25)  # few photons, many peaks
        self.wait(lambda: run.is_drawn and not dock.live.busy)
        run.set_contrast(1, 99.95)
        self.viewer.reset_view()
        self.settle()
        self.picture("peaks", LARGE)

    def spi(self) -> None:
        """A simulated run of single particles, its classes, the round ones chosen."""
        from napari_xfelsort.core.simulate.spi import simulate_spi
        from napari_xfelsort.widgets.layers import Opened
        from napari_xfelsort.widgets.reading import open_layers
        from napari_xfelsort.widgets.runs import runs_of

        self.viewer.layers.clear()  # the view is of all that is open
        made = simulate_spi(self.work / "virus", n_events=300, single=0.3, photons=20_000)
        run = runs_of(self.viewer).add(open_layers(Opened((str(made.data),), str(made.geometry))))
        dock = self.dock("SPI")
        dock.sizes.find_button.click()
        self.wait(lambda: dock.job is None)
        dock.sizes.keep("right size", dock.sizes.passing)
        dock.tabs.setCurrentWidget(dock.classes)
        dock.classes.form.inputs["classes"].show_value(9)
        dock.classes.events.setCurrentIndex(1)
        dock.classes.find_button.click()
        self.wait(lambda: dock.job is None, 1200)
        dock.classes.order.setCurrentIndex(1)
        dock.classes.order.activated.emit(1)
        dock.classes.round_button.click()
        run.go_to(int(dock.classes.numbers[dock.classes.found.labels == 0][0]))
        self.wait(lambda: run.is_drawn)
        run.set_contrast(1, 99.9)
        self.viewer.reset_view()
        self.settle()
        self.picture("spi", LARGE)

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

    def picture(self, name: str, size: tuple[int, int] = SIZE) -> None:
        """Take a picture of the whole window, of this size."""
        self.resize(size)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        save_picture(pixels, self.folder / f"{name}.png")
        self.resize(SIZE)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window a size, if it has another, and let the frame fill it."""
        self.settle()
        if size != self.size:
            self.size = size
            self.viewer.window.resize(*size)
            self.settle()
            self.viewer.reset_view()
            self.settle()


def save_picture(pixels, path: Path) -> None:
    """Save a picture of a window with 256 colours: plenty for it, and a third of the bytes.

    The frequent ones stay exactly as they are, so that grounds keep their tint; of the
    others those that differ most, so that marks and legends keep theirs.
    """
    import numpy as np
    from PIL import Image

    colours, counts = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    frequent, rest = colours[order[:N_EXACT]], colours[order[N_EXACT:]]
    others = Image.fromarray(rest[np.newaxis]).quantize(
        256 - N_EXACT, method=Image.Quantize.MAXCOVERAGE
    )
    palette = Image.new("P", (1, 1))
    palette.putpalette([*frequent.ravel().tolist(), *others.getpalette()])
    picture = Image.fromarray(pixels[..., :3].copy())
    picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    default = Path(__file__).parent / "pictures"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
