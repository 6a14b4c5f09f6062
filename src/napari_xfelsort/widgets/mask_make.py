"""The page of the Mask dock on which a mask is made: frames, settings, progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.settings import MaskSettings
from napari_xfelsort.widgets.dock import PathField, button, row
from napari_xfelsort.widgets.forms import SettingsForm
from napari_xfelsort.widgets.inputs import needs_focus_for_wheel
from napari_xfelsort.widgets.layers import KEY, LayerData, Opened
from napari_xfelsort.widgets.mask_inputs import FramesChooser
from napari_xfelsort.widgets.open_dock import section
from napari_xfelsort.widgets.reading import open_layers
from napari_xfelsort.widgets.workers import Report

if TYPE_CHECKING:
    from napari_xfelsort.core.masks.making import MadeMask
    from napari_xfelsort.core.stack import EventStack
    from napari_xfelsort.widgets.run import Run

_FIRST = ("mask_lambda", "edge", "shadow")
_STAGES = 3


def photon_counter() -> MaskSettings:
    """Settings for detectors that count photons."""
    return MaskSettings(floor=1 / 6)


#: Settings by what they are for.
PRESETS: dict[str, Callable[[], MaskSettings]] = {
    "default": MaskSettings,
    "as Sadri et al. 2022 (paper)": MaskSettings.paper,
    "photon counter": photon_counter,
}


class Looked(NamedTuple):
    """How far the work is: frames done and in all, the mask so far, panels that are finished."""

    counts: tuple[int, int]
    mask: MadeMask | None
    panels: tuple[str, ...]


class Made(NamedTuple):
    """What came of it.

    Attributes
    ----------
    stack : EventStack
        Whose detector the mask is of.
    layers : list of LayerData or None
        To be shown first, where no run was open.
    mask : MadeMask
    inputs : dict of str to str
        What it was made from.
    frames : dict of str to EventStack
        Those that were looked at.
    """

    stack: EventStack
    layers: list[LayerData] | None
    mask: MadeMask
    inputs: dict[str, str]
    frames: dict[str, EventStack]


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be made: frames by name, of the open run (None) or to be opened."""

    stack: EventStack | None
    frames: dict[str, Opened | None]
    settings: MaskSettings
    groups: str | None

    def carry_out(self, report: Report) -> Made:
        """Make the mask; in a job."""
        from napari_xfelsort.core.masks.make import make_mask

        stack, layers = self.stack, None
        if stack is None:
            shown = next(opened for opened in self.frames.values() if opened is not None)
            layers = open_layers(shown)
            stack = layers[0][1]["metadata"][KEY]["stack"]
        frames, inputs = self._open(stack)
        counts, mask, panels = (0, 0), None, ()

        def progress(done: int, total: int) -> None:
            nonlocal counts
            counts = done, total
            report(Looked(counts, mask, panels))

        def partial(so_far: MadeMask, finished: tuple[str, ...]) -> None:
            nonlocal mask, panels
            mask, panels = so_far, (*panels, *finished)
            report(Looked(counts, mask, panels))

        stages = [each for name, each in frames.items() if name.startswith("gain_")]
        named = {name: each for name, each in frames.items() if not name.startswith("gain_")}
        made = make_mask(
            **named,
            gain=stages,
            geometry=stack.geometry,
            progress=progress,
            partial=partial,
            groups=self.groups,
            **self.settings.to_dict(),
        )
        return Made(stack, layers, made, inputs, frames)

    def _open(self, stack: EventStack) -> tuple[dict[str, EventStack], dict[str, str]]:
        from napari_xfelsort.readers import open_stack

        found, inputs = {}, {}
        for name, opened in self.frames.items():
            if opened is None:
                frames = stack
                inputs[name] = "\n".join(source.path for source in frames.sources)
            else:
                frames = open_stack(
                    list(opened.paths), geometry=opened.geometry, dataset=opened.dataset
                )
                inputs[name] = "\n".join([*opened.paths, opened.dataset or ""]).strip()
            if frames.raw_shape != stack.raw_shape:
                raise SettingsError(
                    f"The {name.replace('_', ' stage ')} frames are of {frames.raw_shape}, those "
                    f"of the run of {stack.raw_shape}; choose frames of the same detector."
                )
            found[name] = frames
        return found, inputs


class MakePage(QWidget):
    """Chooses frames and settings."""

    #: The mask is to be made, or no more.
    make_wanted = Signal()
    cancel_wanted = Signal()
    #: λ of the mask was entered.
    entered = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._build()

    def request(self, run: Run | None) -> Request:
        """What is chosen.

        Raises
        ------
        SettingsError
            If no frames are chosen, or a setting is out of range.
        """
        settings = self.form.settings()
        assert isinstance(settings, MaskSettings)
        geometry = self.geometry.path() if run is None else None
        frames: dict[str, Opened | None] = {}
        for chooser in self.choosers:
            opened = chooser.opened(run)
            if opened is not None:
                frames[chooser.name] = (
                    opened if run is not None else replace(opened, geometry=geometry)
                )
            elif chooser.is_run and run is not None:
                frames[chooser.name] = None
        if not frames:
            what = "Choose dark frames, bright frames or both."
            raise SettingsError(what if run is not None else f"{what} No run is open: of files.")
        return Request(
            None if run is None else run.stack, frames, settings, self.groups.currentData()
        )

    def show_run(self, run: Run | None) -> None:
        """Offer what suits a run, or none."""
        self.geometry_row.setVisible(run is None)

    def show_lambda(self, value: float) -> None:
        """Show another λ, as entered."""
        with QSignalBlocker(self.form):
            now = replace(self.form.settings(), mask_lambda=value)  # type: ignore[type-var]
            self.form.set_settings(now)
        self._name_preset()

    def mask_lambda(self) -> float | None:
        """λ as it was entered; None while it is no number."""
        try:
            return float(self.form.settings().mask_lambda)  # type: ignore[attr-defined]
        except SettingsError:
            return None

    def _preset(self, number: int) -> None:
        self.form.set_settings(list(PRESETS.values())[number]())

    def _name_preset(self) -> None:
        """Show which preset the settings are, or that they are none."""
        try:
            now = self.form.settings()
        except SettingsError:
            return
        found = [k for k, preset in enumerate(PRESETS.values()) if preset() == now]
        with QSignalBlocker(self.preset):
            self.preset.setCurrentIndex(found[0] if found else -1)

    # --- how it looks -------------------------------------------------------------------

    def _build(self) -> None:
        self.dark = FramesChooser("dark", "Frames without X-rays")
        self.bright = FramesChooser(
            "bright", "Frames in smooth light, without Bragg peaks that stay at one place"
        )
        self.bright.source.setCurrentIndex(1)
        self.ordinary = FramesChooser(
            "ordinary",
            "Frames of an ordinary run, where there are no dark ones: finds dead, hot, cold and "
            "noisy pixels, but cannot tell them from light that stays at one place",
        )
        stages = [
            FramesChooser(
                f"gain_{k}", f"Gain indicators of stage {k}; the stage of lowest values first"
            )
            for k in range(_STAGES)
        ]
        self.choosers = (self.dark, self.bright, self.ordinary, *stages)
        self.geometry = PathField(
            "geometry", "file", "Geometry of the detector", "Geometry (*.geom)", "none"
        )
        self.geometry.line.setToolTip("CrystFEL geometry, to put modules together")
        self.geometry_row = QWidget()
        self.geometry_row.setLayout(row("Geometry", self.geometry))
        self.groups = QComboBox()
        self.groups.setObjectName("groups")
        self.groups.addItem("all frames together", None)
        self.groups.addItem("each memory cell by itself", "cell")
        self.groups.setToolTip("A pixel that is bad in one memory cell is bad")
        needs_focus_for_wheel(self.groups)
        main, more = QFormLayout(), QFormLayout()
        for form in (main, more):
            form.setContentsMargins(0, 0, 0, 0)
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        main.addRow("Dark", self.dark)
        main.addRow("Bright", self.bright)
        more.addRow("Ordinary", self.ordinary)
        for k, stage in enumerate(stages):
            more.addRow(f"Gain {k}", stage)
        more.addRow("Cells", self.groups)
        held = QWidget()
        held.setLayout(more)
        self.form = SettingsForm(MaskSettings, first=_FIRST)
        self.form.changed.connect(self.entered)
        self.form.changed.connect(self._name_preset)
        self.preset = QComboBox()
        self.preset.setObjectName("preset")
        self.preset.addItems(list(PRESETS))
        self.preset.setPlaceholderText("as entered below")
        self.preset.setToolTip(
            "Settings for a kind of detector: the paper's 8 for every λ, or a least scale of "
            "1/6 photon for photon counters"
        )
        self.preset.activated.connect(self._preset)
        needs_focus_for_wheel(self.preset)
        self.make_button = button("Make mask", "make", "Look at all frames", self.make_wanted)
        self.cancel_button = button(
            "Cancel", "cancel", "Stop; nothing is kept", self.cancel_wanted
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.geometry_row)
        column.addLayout(main)
        column.addWidget(section("Ordinary run, gain stages, cells", held, expanded=False))
        column.addLayout(row("Settings", self.preset))
        column.addWidget(self.form)
        column.addLayout(row(self.make_button, self.cancel_button))
