"""From labelled events to a model whose numbers can be believed."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import napari_xfelsort
from napari_xfelsort.core.errors import SettingsError, TrainingError
from napari_xfelsort.core.estimators import known_probabilities
from napari_xfelsort.core.feature_cache import cached_table
from napari_xfelsort.core.features import FeatureExtractor, Progress, extract_stack
from napari_xfelsort.core.learning.advice import advice
from napari_xfelsort.core.learning.judging import Judged, judge
from napari_xfelsort.core.learning.shares import Fitted, fit_share
from napari_xfelsort.core.model import Model
from napari_xfelsort.core.region import Region, as_region
from napari_xfelsort.core.spi.run_sizes import photon_adu
from napari_xfelsort.core.splits import Split
from napari_xfelsort.core.thresholds import positive_class
from napari_xfelsort.core.train_settings import NETWORKS, TrainSettings
from napari_xfelsort.core.training_set import LabelledEvents, Labels, labelled_events

if TYPE_CHECKING:
    from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack

_MEMORY_SHARE = 0.25
#: Events whose decision is timed.
_TIMED = 256


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
        ``logistic_regression``, ``k_nearest_neighbours``, ``decision_tree``,
        ``random_forest``, ``linear_svm``, ``naive_bayes`` or ``gradient_boosting``; or
        ``spi``: gradient boosting of particle features (unless other ``kinds`` are chosen)
        and of copies of the events as another beam makes them; or ``spi_cnn``: networks
        for single particles, which take the fields of `SpiNetworkSettings` besides
        (``preset``, ``recipe``, ...).
    region : Region or str, optional
        Pixels to use, for example ``"panel:p6a0"``; the whole frame when omitted.
    test_share : float
        Share of the labelled events that is only used to test. The rest trains; a
        ``train_share`` given as well must make 1 with it.
    split : str
        ``file`` keeps the events of a file on one side, ``run`` those of a run, ``event``
        divides events, ``auto`` does the first where there are enough files.
    threshold : str or float
        ``default`` (the most likely class), ``max_f1``, ``high_recall``, ``costs`` or a
        number.
    seed : int
        Equal input and seed give an equal model.
    **settings
        Other fields of `TrainSettings`; ``progress``, called with events read and events
        in all; ``fit_progress``, called with fits done and fits in all. Both may raise to
        stop.

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
    progress, fit_progress = settings.pop("progress", None), settings.pop("fit_progress", None)
    network = None
    if model in NETWORKS:
        from napari_xfelsort.core.deep.spi_settings import split_settings

        network, settings = split_settings(settings)
    chosen = {"train_share": 1 - test_share, **settings}
    values = {
        **chosen,
        "model": model,
        "test_share": test_share,
        "split": split,
        "threshold": threshold,
        "seed": seed,
    }
    return train_with(
        stack, labels, TrainSettings.from_dict(values), region, progress, fit_progress, network
    )


def train_with(
    stack: EventStack,
    labels: Labels,
    settings: TrainSettings,
    region: Region | str | None = None,
    progress: Progress | None = None,
    fit_progress: Progress | None = None,
    network: SpiNetworkSettings | None = None,
) -> Model:
    """Train a model with settings as one object; see `train`."""
    prepared = prepare(stack, labels, settings, region, progress)
    return train_prepared(prepared, settings, fit_progress, network)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Labelled events with their features, divided: several models can be trained on it.

    Attributes
    ----------
    data : LabelledEvents
        With features.
    division : Split
        Which of them test.
    extractor : FeatureExtractor
        What made the features.
    region : Region
        As the user chose it.
    raw_shape : tuple of int
        Of the frames.
    geometry_digest : str or None
        Key of the geometry.
    positive : str or None
        Of two classes the one that a threshold is about.
    files : list of str
        Where the events are from.
    constant : int
        Features that are the same in all labelled events.
    copies : ndarray of float32, shape (events, copies, features), or None
        Features of copies of the events that train; NaN for those that test.
    geometry : Geometry or None
        Of the stack.
    photon : float
        ADU that a photon counts, 1 where the geometry does not say.
    """

    data: LabelledEvents
    division: Split
    extractor: FeatureExtractor
    region: Region
    raw_shape: tuple[int, ...]
    geometry_digest: str | None
    positive: str | None
    files: list[str]
    constant: int
    copies: NDArray[np.float32] | None = None
    geometry: Geometry | None = None
    photon: float = 1.0


def prepare(
    stack: EventStack,
    labels: Labels,
    settings: TrainSettings,
    region: Region | str | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Read the features of the labelled events and divide them.

    Nothing that depends on the algorithm is used, so that models can be compared.

    Raises
    ------
    SettingsError, TrainingError, RegionError
        As `train`.
    """
    region = as_region(region)
    by_run = settings.split == "run"
    labelled = labelled_events(stack, labels, settings.target, stored_runs=by_run)
    positive = settings.target or positive_class(labelled.class_names)
    _check_rule(settings, labelled.class_names, positive)
    extractor = FeatureExtractor.for_stack(settings.features, region, stack)
    _check_memory(len(labelled.positions), extractor.n_features)
    read = cached_table if settings.cache else extract_stack
    table = read(stack, labelled.positions, extractor, progress, settings.workers)
    data = labelled._replace(matrix=table.matrix).without(table.failed)
    constant = _constant_features(data, region)
    division = data.divided(settings)
    copies = None
    if settings.copies:
        copies = _copies(stack, data, division, extractor, settings, progress)
    return Prepared(
        data,
        division,
        extractor,
        region,
        tuple(stack.raw_shape),
        None if stack.geometry is None else stack.geometry.digest,
        positive,
        _files(stack),
        constant,
        copies,
        stack.geometry,
        photon_adu(stack),
    )


def _copies(
    stack: EventStack,
    data: LabelledEvents,
    division: Split,
    extractor: FeatureExtractor,
    settings: TrainSettings,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Features of copies of the events that train."""
    from napari_xfelsort.core.spi.augmenting import augmented_features

    _check_memory(len(data.positions) * settings.copies, extractor.n_features)
    found = np.full(
        (len(data.positions), settings.copies, extractor.n_features), np.nan, np.float32
    )
    trains = ~division.test
    found[trains] = augmented_features(
        stack, data.positions[trains], extractor, settings.copies, settings.seed, progress
    )
    return found


def train_prepared(
    prepared: Prepared,
    settings: TrainSettings,
    fit_progress: Progress | None = None,
    network: SpiNetworkSettings | None = None,
) -> Model:
    """Train a model on features that were read before; see `train`.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`, with settings that differ at most in what concerns the algorithm,
        its search, calibration and threshold.
    settings : TrainSettings
        How to train.
    fit_progress : callable, optional
        Called with fits (of networks: epochs) done and in all; may raise to stop.
    network : SpiNetworkSettings, optional
        How networks are trained, where the model is one.
    """
    data, division = prepared.data, prepared.division
    _check_rule(settings, data.class_names, prepared.positive)
    if settings.model in NETWORKS:
        from napari_xfelsort.core.deep.spi_fit import fit_networks, preset_settings
        from napari_xfelsort.core.deep.spi_settings import SpiNetworkSettings

        network = network or SpiNetworkSettings()
        settings = preset_settings(settings, network)
        fitted = fit_networks(prepared, settings, network, fit_progress)
    else:
        fitted = _fitted(prepared, settings, fit_progress)
    return Model(
        data.class_names,
        fitted.estimator,
        settings.features,
        prepared.region,
        prepared.raw_shape,
        prepared.extractor.pixels,
        prepared.geometry_digest,
        fitted.rule.threshold,
        prepared.positive,
        _metrics(fitted, data, division, settings),
        _provenance(data, division, settings, fitted) | {"files": prepared.files},
        [*_notes(prepared, settings), *fitted.notes],
        prepared.extractor.places,
        fitted.rule.band,
        fitted.rule.margin,
        fitted.calibration,
    )


def _fitted(prepared: Prepared, settings: TrainSettings, fit_progress: Progress | None) -> Fitted:
    data, division = prepared.data, prepared.division
    train_side = ~division.test
    groups = None if division.groups is None else division.groups[train_side]
    # From here on only the training share is known, until the model is judged.
    return fit_share(
        settings,
        data.matrix[train_side],
        data.classes[train_side],
        groups,
        data.class_names,
        prepared.positive,
        fit_progress,
        None if prepared.copies is None else prepared.copies[train_side],
    )


def _notes(prepared: Prepared, settings: TrainSettings) -> list[str]:
    data = prepared.data
    notes = [*data.notes, *advice(data, prepared.division, settings)]
    if prepared.constant:
        notes.append(
            f"Features that are the same in all labelled events: {prepared.constant} of "
            f"{prepared.extractor.n_features}."
        )
    return notes


def _check_rule(
    settings: TrainSettings, class_names: tuple[str, ...], positive: str | None
) -> None:
    if positive is not None:
        return
    if settings.threshold_number() is None and settings.threshold != "default":
        raise SettingsError(
            f"The threshold {settings.threshold} is for two classes, and there are "
            f"{len(class_names)}; choose default, or the probability that the most likely "
            "class must reach, or a target class."
        )
    if settings.unsure_low is not None or settings.unsure_high is not None:
        raise SettingsError(
            f"unsure_low and unsure_high are for two classes, and there are {len(class_names)}; "
            "choose unsure_margin."
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


def _metrics(
    fitted: Fitted, data: LabelledEvents, division: Split, settings: TrainSettings
) -> dict[str, Any]:
    """How the model does on the test share."""
    test = division.test
    probabilities = known_probabilities(fitted.estimator, data.matrix[test], fitted.calibration)
    judged = Judged(
        [str(data.events[k]) for k in np.flatnonzero(test)],
        data.classes[test],
        probabilities,
        None if division.groups is None else division.groups[test],
    )
    return judge(judged, data.class_names, fitted.rule, settings.seed) | {
        "n_train": int((~test).sum()),
        "train_counts": data.counts(~test),
        "test_counts": data.counts(test),
        "split": {"by": division.by, "why": division.why, "test_share": float(test.mean())},
        "threshold": "number" if settings.threshold_number() else str(settings.threshold),
        "search": fitted.search,
        "out_of_fold": fitted.out_of_fold,
    }


def _provenance(
    data: LabelledEvents, division: Split, settings: TrainSettings, fitted: Fitted
) -> dict[str, Any]:
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
        "parameters": fitted.parameters,
        "seed": settings.seed,
        "training_set": digest.hexdigest(),
        "seconds": {
            "fit": round(fitted.seconds, 3),
            "decide_per_event": _seconds_per_event(fitted, data),
        },
        "versions": {
            "napari-xfelsort": napari_xfelsort.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _seconds_per_event(fitted: Fitted, data: LabelledEvents) -> float:
    """How long a decision takes once the features are there."""
    rows = data.matrix[:_TIMED]
    begin = time.perf_counter()
    known_probabilities(fitted.estimator, rows, fitted.calibration)
    return float(f"{(time.perf_counter() - begin) / len(rows):.3g}")


def _files(stack: EventStack) -> list[str]:
    """The files, for the model card; not all of thousands."""
    paths = [source.path for source in stack.sources]
    return paths if len(paths) <= 50 else [*paths[:50], f"and {len(paths) - 50} more"]
