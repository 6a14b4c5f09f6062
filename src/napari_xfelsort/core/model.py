"""A trained classifier with all that is needed to apply and judge it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_xfelsort.core.decisions import Decisions
from napari_xfelsort.core.region import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_xfelsort.core.features import FeatureSettings
    from napari_xfelsort.core.stack import EventBlock, EventStack


@dataclass(eq=False)
class Model:
    """A trained classifier."""

    class_names: tuple[str, ...]
    estimator: Any
    features: FeatureSettings
    region: Region
    raw_shape: tuple[int, ...]
    bad: NDArray[np.bool_] | None
    geometry_digest: str | None
    threshold: float | None
    positive: str | None
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def predict(
        self, stack: EventStack, progress: Callable[[int, int], None] | None = None
    ) -> Decisions:
        """Decide on every event of a stack."""
        raise NotImplementedError

    def predict_block(self, stack: EventStack, block: EventBlock) -> Decisions:
        """Decide on a block of events; an unreadable one becomes ``"failed"``."""
        raise NotImplementedError

    def check(self, stack: EventStack) -> list[str]:
        """Warnings (sentences) before applying the model to this stack.

        Raises
        ------
        ModelError
            If the model cannot be applied to these frames.
        """
        raise NotImplementedError

    def report_text(self) -> str:
        """Metrics of the test share as a table for the terminal."""
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """Key of the model: equal for a model and its reloaded file."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model file."""
        raise NotImplementedError


def load_model(path: str | os.PathLike[str]) -> Model:
    """Open a model file without running anything in it."""
    raise NotImplementedError
