"""Probabilities of anomalies over a run, as a table and as a summary."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.stack_features import (
    FrameReader,
    Progress,
    stack_features,
)
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.atomic import write_text_atomic
from napari_xfelsort.core.errors import ModelError
from napari_xfelsort.core.events import EventId

#: Events whose features are held at once.
_AT_ONCE = 256


class AnomalyTable(NamedTuple):
    """What a model says of events.

    Attributes
    ----------
    class_names : tuple of str
        The anomalies.
    events : list of EventId
        The events.
    probabilities : ndarray, shape (events, classes)
        NaN where an event could not be judged.
    chosen : ndarray of bool, same shape
        Which anomalies they have.
    failed : dict of int to str
        Why an event (its row) could not be judged.
    """

    class_names: tuple[str, ...]
    events: list[EventId]
    probabilities: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    failed: dict[int, str]

    def write_csv(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a row an event: file, event, anomalies, probability of each, problem.

        Raises
        ------
        OutputError
            If the file exists and is not to be overwritten, or cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "event", "anomalies", *self.class_names, "problem"])
        for k, event in enumerate(self.events):
            has = [n for n, there in zip(self.class_names, self.chosen[k], strict=True) if there]
            shares = ["" if np.isnan(p) else f"{p:.4f}" for p in self.probabilities[k]]
            row = [event.file, event.event or "", "|".join(has), *shares, self.failed.get(k, "")]
            writer.writerow(row)
        write_text_atomic(path, text.getvalue(), overwrite)

    def summary(self) -> list[tuple[str, int, float, str]]:
        """For each anomaly: events that have it, mean probability, and the worst event."""
        found = []
        for k, name in enumerate(self.class_names):
            own = self.probabilities[:, k]
            known = np.isfinite(own)
            worst = str(self.events[int(np.nanargmax(own))]) if known.any() else ""
            mean = float(own[known].mean()) if known.any() else float("nan")
            found.append((name, int(self.chosen[:, k].sum()), mean, worst))
        return found


def apply_anomalies(
    model: AnomalyModel,
    reader: FrameReader,
    positions: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> AnomalyTable:
    """Judge events of a stack; one that cannot be read is told and costs only itself.

    Parameters
    ----------
    model : AnomalyModel
        The model.
    reader : FrameReader
        Where frames are from.
    positions : sequence of int, optional
        Which events; all when omitted.
    progress : callable, optional
        Called with events done and in all; may raise to stop.

    Raises
    ------
    ModelError
        If the model was trained on features that this version does not have.
    """
    stack = reader.stack
    wanted = list(range(len(stack)) if positions is None else positions)
    result = np.full((len(wanted), len(model.class_names)), np.nan)
    failed: dict[int, str] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]

        def told(done: int, _: int, before: int = start) -> None:
            if progress is not None:
                progress(before + done, len(wanted))

        found = stack_features(reader, part, model.features, told)
        failed |= {start + k: why for k, why in found.failed.items()}
        if len(found.failed) == len(part):
            continue
        if found.names != model.feature_names or found.matrix.shape[1] != model.n_features:
            raise ModelError(
                "The model was trained on other features than this version of the program takes; "
                "train it again."
            )
        result[start : start + len(part)] = model.probabilities(found.matrix)
    events = [stack.event_id(int(position)) for position in wanted]
    return AnomalyTable(model.class_names, events, result, model.choose(result), failed)
