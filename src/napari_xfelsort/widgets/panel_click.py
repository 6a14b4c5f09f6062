"""The next click on the picture chooses a panel."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_xfelsort.widgets.run import Run
    from napari_xfelsort.widgets.runs import ViewerRuns


class PanelClick:
    """Waits for a click on a panel while it is started.

    Parameters
    ----------
    runs : ViewerRuns
        Of the viewer.
    clicked : bound method
        Called with the name of the panel under a click.
    ended : bound method
        Called when no more clicks are waited for.
    """

    def __init__(
        self, runs: ViewerRuns, clicked: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        self._runs = runs
        self._clicked: Any = weakref.WeakMethod(clicked)
        self._ended: Any = weakref.WeakMethod(ended)
        self._run: Run | None = None
        self._escape_before: Any = None

    @property
    def waiting(self) -> bool:
        """Whether a click is waited for."""
        return self._run is not None

    def start(self, run: Run) -> None:
        """Wait for a click on this run's picture."""
        viewer = self._runs.viewer
        if viewer is None or self.waiting:
            return
        self._run = run
        viewer.mouse_drag_callbacks.append(self._on_press)
        self._escape_before = viewer.bind_key("Escape", self._on_escape, overwrite=True)

    def stop(self) -> None:
        """Wait no more."""
        viewer = self._runs.viewer
        if not self.waiting:
            return
        self._run = None
        if viewer is not None:
            viewer.mouse_drag_callbacks.remove(self._on_press)
            viewer.bind_key("Escape", self._escape_before, overwrite=True)
        ended = self._ended()
        if ended is not None:
            ended()

    def _on_press(self, viewer: Any, event: Any) -> None:
        run, clicked = self._run, self._clicked()
        if run is None or clicked is None:
            return
        geometry = run.stack.geometry
        y, x = run.layer.world_to_data(event.position)[-2:]
        panel = None if geometry is None else geometry.panel_at(float(y), float(x))
        if panel is not None:
            clicked(panel)
        if panel is not None and "Shift" not in event.modifiers:
            self.stop()

    def _on_escape(self, viewer: Any) -> None:
        self.stop()
