"""From labelled events to a model whose numbers can be believed."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_xfelsort
from napari_xfelsort.core.errors import SettingsError, TrainingError
from napari_xfelsort.core.estimators import (
    class_probabilities,
    fit,
    make_estimator,
    tuned_threshold,
)
from napari_xfelsort.core.features import FeatureExtractor, Progress, extract_stack
from napari_xfelsort.core.metrics import evaluate
from napari_xfelsort.core.model import Model
from napari_xfelsort.core.region import Region, as_region
from napari_xfelsort.core.splits import Split, split_events
from napari_xfelsort.core.thresholds import decide, positive_class
from napari_xfelsort.core.train_settings import TrainSettings
from napari_xfelsort.core.training_set import LabelledEvents, Labels, labelled_events

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventStack

_FEW_EVENTS = 20
_SHARE_TOLERANCE = 0.1
_MEMORY_SHARE = 0.25


def train(
    stack: EventStack,
    labels: Labels,
    model: str = "random_forest",
    region: Region | str | None = None,
    test_share: float = 0.3,
    split: str = "auto",
    threshold: str | float = "default",
    seed: int = 0,
    **settings: Any,
) -> Model:
    """Train a model on the labelled events of a stack.

    Parameters
    ----------
    stack : EventStack
        The events; those without a label are not read.
    labels : LabelStore, path, or sequence of str or None
        A label store, its folder, or a class name for each event of the stack (None, or
        ``"ignore"``, leaves the event out).
    model : str
        ``logistic_regression``, ``k_nearest_neighbours``, ``decision_tree`` or
        ``random_forest``.
    region : Region or str, optional
        Pixels to use, for example ``"panel:p6a0"``; the whole frame when omitted.
    test_share : float
        Share of the labelled events that is only used to test. The rest trains; a
        ``train_share`` given as well must make 1 with it.
    split : str
        ``file`` keeps the events of a file on one side, ``event`` divides events, ``auto``
        does the first where there are enough files.
    threshold : str or float
        ``default`` (the most likely class), ``max_f1``, ``high_recall`` or a number.
    seed : int
        Equal input and seed give an equal model.
    **settings
        Other fields of `TrainSettings`, and ``progress``, called with events read and
        events in all.

    Returns
    -------
    Model
        With the metrics of the test share.

    Raises
    ------
    SettingsError
        If a setting is unknown or out of range, or the shares do not add to 100 %.
    TrainingError
        If there are too few labelled events, or nothing to tell them apart by.
    RegionError
        If the region cannot be resolved.
    """
    progress = settings.pop("progress", None)
    chosen = {"train_share": 1 - test_share, **settings}
    values = {
        **chosen,
        "model": model,
        "test_share": test_share,
        "split": split,
        "threshold": threshold,
        "seed": seed,
    }
    return train_with(stack, labels, TrainSettings.from_dict(values), region, progress)


def train_with(
    stack: EventStack,
    labels: Labels,
    settings: TrainSettings,
    region: Region | str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Train a model with settings as one object; see `train`."""
    region = as_region(region)
    labelled = labelled_events(stack, labels)
    _check_threshold(settings, labelled.class_names)
    extractor = FeatureExtractor.for_stack(settings.features, region, stack)
    _check_memory(len(labelled.positions), extractor.n_features)
    table = extract_stack(stack, labelled.positions, extractor, progress)
    data = labelled._replace(matrix=table.matrix).without(table.failed)
    constant = _constant_features(data, region)
    division = split_events(
        data.classes,
        data.files,
        data.class_names,
        settings.test_share,
        settings.split,
        settings.seed,
    )
    notes = [*data.notes, *_advice(data, division, settings)]
    if constant:
        notes.append(
            f"Features that are the same in all labelled events: {constant} of "
            f"{extractor.n_features}."
        )
    estimator, threshold, fit_notes = _fitted(data, division, settings)
    geometry = None if stack.geometry is None else stack.geometry.digest
    return Model(
        data.class_names,
        estimator,
        settings.features,
        region,
        tuple(stack.raw_shape),
        extractor.pixels,
        geometry,
        threshold,
        positive_class(data.class_names),
        _metrics(estimator, threshold, data, division, settings),
        _provenance(data, division, settings) | {"files": _files(stack)},
        [*notes, *fit_notes],
        extractor.places,
    )


def _check_threshold(settings: TrainSettings, class_names: tuple[str, ...]) -> None:
    if settings.threshold in ("max_f1", "high_recall") and positive_class(class_names) is None:
        raise SettingsError(
            f"The threshold {settings.threshold} is for two classes, and there are "
            f"{len(class_names)}; choose default, or the probability that the most likely "
            "class must reach."
        )


def _constant_features(data: LabelledEvents, region: Region) -> int:
    constant = (data.matrix == data.matrix[:1]).all(axis=0)
    if constant.all():
        raise TrainingError(
            f"All labelled events have the same values in the region {region}; choose another "
            "region, or check that the data are not blank there."
        )
    return int(np.count_nonzero(constant))


def _check_memory(n_events: int, n_features: int) -> None:
    needed = 4 * n_events * n_features
    try:
        present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return
    if needed > _MEMORY_SHARE * present:
        raise TrainingError(
            f"{n_events} events with {n_features} features each need {needed / 1e9:.1f} GB, and "
            f"this computer has {present / 1e9:.1f} GB; choose a smaller region or larger "
            "blocks of pixels (bin)."
        )


def _fitted(
    data: LabelledEvents, division: Split, settings: TrainSettings
) -> tuple[Any, float | None, list[str]]:
    """The classifier and threshold, made from the training share alone, and notes."""
    train_side = ~division.test
    matrix, classes = data.matrix[train_side], data.classes[train_side]
    estimator = make_estimator(settings, len(classes))
    notes = fit(estimator, matrix, classes)
    threshold = settings.threshold_number()
    positive = positive_class(data.class_names)
    if threshold is None and settings.threshold != "default" and positive is not None:
        files = data.files[train_side] if division.by == "file" else None
        threshold, more = tuned_threshold(
            settings, matrix, classes, data.class_names.index(positive), files
        )
        notes += more
    return estimator, threshold, notes


def _metrics(
    estimator: Any,
    threshold: float | None,
    data: LabelledEvents,
    division: Split,
    settings: TrainSettings,
) -> dict[str, Any]:
    """How the model does on the test share."""
    test, names = division.test, data.class_names
    probabilities = class_probabilities(estimator, data.matrix[test], len(names))
    chosen = decide(probabilities, names, threshold, positive_class(names))
    return evaluate(np.array(names)[data.classes[test]], chosen, names) | {
        "n_train": int((~test).sum()),
        "train_counts": data.counts(~test),
        "test_counts": data.counts(test),
        "split": {"by": division.by, "why": division.why, "test_share": float(test.mean())},
        "threshold": "number" if settings.threshold_number() else str(settings.threshold),
    }


def _advice(data: LabelledEvents, division: Split, settings: TrainSettings) -> list[str]:
    """What a careful colleague would say."""
    test, advice = division.test, []
    for name, count in data.counts(~test).items():
        if count < _FEW_EVENTS:
            advice.append(f"The class {name!r} has few events to train with: {count}.")
    for name, count in data.counts(test).items():
        if count == 0:
            advice.append(
                f"The test share has no event of the class {name!r}: how well it is recognised "
                "is not known."
            )
        elif count < _FEW_EVENTS:
            advice.append(
                f"The class {name!r} has few events to test with ({count}), so its numbers are "
                "uncertain."
            )
    if abs(test.mean() - settings.test_share) > _SHARE_TOLERANCE:
        advice.append(
            f"Whole files make a test share of {100 * test.mean():.0f} % instead of "
            f"{100 * settings.test_share:.0f} %."
        )
    if division.by == "event":
        advice.append(
            "Events of one file are on both sides of the split; on new files the model may do "
            "worse than these numbers say."
        )
    if settings.model == "k_nearest_neighbours" and settings.class_weight == "balanced":
        advice.append("k-nearest neighbours has no class weights; rare classes count less.")
    return advice


def _provenance(data: LabelledEvents, division: Split, settings: TrainSettings) -> dict[str, Any]:
    import sklearn

    digest = hashlib.sha256()
    for event, number, test in zip(data.events, data.classes, division.test, strict=True):
        digest.update(
            f"{event}\t{data.class_names[number]}\t{int(test)}\n".encode(errors="replace")
        )
    digest.update(np.ascontiguousarray(data.matrix).tobytes())
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "training_set": digest.hexdigest(),
        "versions": {
            "napari-xfelsort": napari_xfelsort.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _files(stack: EventStack) -> list[str]:
    """The files, for the model card; not all of thousands."""
    paths = [source.path for source in stack.sources]
    return paths if len(paths) <= 50 else [*paths[:50], f"and {len(paths) - 50} more"]
