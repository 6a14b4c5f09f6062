"""Models of anomalies of either kind: read from files, and applied to events of a stack."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.anomalies.applying import AnomalyTable, apply_anomalies
from napari_xfelsort.core.anomalies.default import DEFAULT, default_model
from napari_xfelsort.core.anomalies.model_file import load_anomaly_model
from napari_xfelsort.core.anomalies.stack_features import FrameReader
from napari_xfelsort.core.anomalies.training import AnomalyModel
from napari_xfelsort.core.deep.model import DeepModel
from napari_xfelsort.core.deep.model_file import load_deep_model
from napari_xfelsort.core.deep.networks import torch_module
from napari_xfelsort.core.deep.pictures import all_pictures
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.deep.weights import safetensors_module
from napari_xfelsort.core.errors import XfelsortError

AnyModel = AnomalyModel | DeepModel
#: Why an event is not judged that can be read.
NO_PICTURE = "No picture can be made of this event."
#: Told the events done and in all; may raise to stop.
Progress = Callable[[int, int], None]


def load_any(path: str | os.PathLike[str]) -> AnyModel:
    """A model of anomalies of either kind; ``default`` is the one that comes with the program.

    Raises
    ------
    ModelError
        If it is none, or is damaged.
    MissingDependencyError
        If it is a network, and what it needs is not installed.
    """
    if path == DEFAULT:
        return default_model()
    try:
        with zipfile.ZipFile(path) as source:
            network = {"model.json", "weights.safetensors"} <= set(source.namelist())
    except (OSError, zipfile.BadZipFile):
        network = False
    return load_deep_model(path) if network else load_anomaly_model(path)


def judge(
    model: AnyModel,
    reader: FrameReader,
    positions: Sequence[int] | NDArray[np.int64],
    progress: Progress | None = None,
) -> AnomalyTable:
    """What a model of either kind says of some events.

    Raises
    ------
    ModelError
        If the model was trained on features that this version does not have.
    MissingDependencyError
        If it is a network, and PyTorch is not installed.
    """
    wanted = [int(position) for position in positions]
    if isinstance(model, AnomalyModel):
        return apply_anomalies(model, reader, wanted, progress)
    failed: dict[int, str] = {}
    frames = readable_frames(reader, wanted, failed, progress)
    found = model.predict(frames, reader.center, reader.mask)
    events = [reader.stack.event_id(position) for position in wanted]
    for k in np.flatnonzero(np.isnan(found).all(axis=1)).tolist():
        failed.setdefault(k, NO_PICTURE)
    return AnomalyTable(model.class_names, events, found, model.choose(found), failed)


def event_pictures(
    reader: FrameReader,
    positions: Sequence[int] | NDArray[np.int64],
    settings: DeepSettings,
    progress: Progress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], dict[int, str]]:
    """What a network is trained on: pictures of events, which have one, and why others do not.

    Parameters
    ----------
    reader : FrameReader
        Where frames are from.
    positions : sequence of int
        Which events.
    settings : DeepSettings
        Which pictures.
    progress : callable, optional
        Called with events done and in all; may raise to stop.

    Raises
    ------
    MissingDependencyError
        If nothing can be trained here, before any event is read.
    """
    for needed in (torch_module, safetensors_module):
        needed()
    wanted = [int(position) for position in positions]
    failed: dict[int, str] = {}
    frames = readable_frames(reader, wanted, failed, progress)
    pictures, made = all_pictures(frames, len(wanted), settings, reader.center, reader.mask)
    for k in np.flatnonzero(~made).tolist():
        failed.setdefault(k, NO_PICTURE)
    return pictures if made.all() else pictures[made], made, failed


def readable_frames(
    reader: FrameReader,
    positions: Sequence[int],
    failed: dict[int, str],
    progress: Progress | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Frames of events one after the other; one that cannot be read is all NaN, and told.

    Parameters
    ----------
    reader : FrameReader
        Where frames are from.
    positions : sequence of int
        Which events.
    failed : dict of int to str
        Gets why an event (its place among them) cannot be read.
    progress : callable, optional
        Called with events done and in all.
    """
    for k, position in enumerate(positions):
        if progress is not None:
            progress(k, len(positions))
        try:
            yield reader.frame(position)
        except (XfelsortError, OSError) as error:
            failed[k] = str(error)
            yield np.full(reader.mask.shape, np.nan, np.float32)
    if progress is not None and positions:
        progress(len(positions), len(positions))
