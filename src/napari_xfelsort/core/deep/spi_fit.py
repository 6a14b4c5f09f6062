"""Networks of single hits as one of the algorithms that models are trained with."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_xfelsort.core.deep.spi_layout import picture_layout
from napari_xfelsort.core.deep.spi_model import SpiNetworks
from napari_xfelsort.core.deep.spi_settings import EPOCH_STEPS, SpiNetworkSettings
from napari_xfelsort.core.deep.spi_training import Progress, SpiData, SpiTrainer
from napari_xfelsort.core.errors import TrainingError
from napari_xfelsort.core.learning.folds import make_folds
from napari_xfelsort.core.learning.shares import Fitted, choose_rule
from napari_xfelsort.core.train_settings import TrainSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.training import Prepared

#: How the threshold is chosen when it is left to the preset.
_RULES = {"max_f1": "max_f1", "more_sh": "high_recall"}
#: What more_sh keeps of the parts left out, where no other recall is given: with some margin.
_MORE_RECALL = 0.98


def preset_settings(settings: TrainSettings, network: SpiNetworkSettings) -> TrainSettings:
    """The settings with the threshold of the preset, where it is left to it."""
    if settings.threshold != "default":
        return settings
    recall = settings.recall
    if network.preset == "more_sh" and recall == TrainSettings.recall:
        recall = _MORE_RECALL
    return dataclasses.replace(settings, threshold=_RULES[network.preset], recall=recall)


def fit_networks(
    prepared: Prepared,
    settings: TrainSettings,
    network: SpiNetworkSettings,
    progress: Progress | None = None,
) -> Fitted:
    """Train networks on the training share, and choose the threshold by cross-validation.

    Parameters
    ----------
    prepared : Prepared
        Events with pixels as features.
    settings : TrainSettings
        With the rule of the threshold, seed and unsure events; what concerns other
        algorithms is not used.
    network : SpiNetworkSettings
        How.
    progress : callable, optional
        Called with epochs done and in all; may raise to stop.

    Raises
    ------
    TrainingError
        If there are not two classes, or too few events of one.
    SettingsError, RegionError
        If no pictures can be made of the features.
    MissingDependencyError
        If PyTorch is not installed.
    """
    data = prepared.data
    trainer, notes = _trainer(prepared, settings, network)
    begin = time.perf_counter()
    trained = trainer.run(progress)
    seconds = time.perf_counter() - begin
    assert prepared.positive is not None
    positive = data.class_names.index(prepared.positive)
    estimator = SpiNetworks(
        trainer.recipe.architecture,
        trainer.data.layout,
        trainer.recipe.root,
        trained.mean,
        trained.sd,
        trained.mirrors,
        trained.tensors,
        positive,
        trainer.recipe.rings,
        trainer.data.photon,
    )
    found = trained.out_of_part if positive else trained.out_of_part[:, ::-1]
    classes = data.classes[~prepared.division.test]
    rule, judged = choose_rule(settings, found, classes, data.class_names, prepared.positive)
    parameters = {**trainer.recipe.to_dict(), "mirrors": trained.mirrors, "ended": trained.epochs}
    return Fitted(estimator, parameters, None, rule, None, judged, notes, seconds)


def training_time(
    prepared: Prepared, settings: TrainSettings, network: SpiNetworkSettings
) -> tuple[float, str]:
    """Seconds that training is going to take, measured on a few steps, and a sentence.

    Raises
    ------
    TrainingError, SettingsError, RegionError, MissingDependencyError
        As `fit_networks`.
    """
    trainer, _ = _trainer(prepared, settings, network)
    seconds, recipe = trainer.seconds(), trainer.recipe
    steps = EPOCH_STEPS * recipe.epochs
    shape = trainer.data.layout.shape
    where = "this processor" if trainer.device == "cpu" else "the GPU"
    end = "" if not recipe.patience else ", less if they end early"
    return seconds, (
        f"Training {len(trainer.parts)} networks ({recipe.name} recipe, pictures of {shape[0]} x "
        f"{shape[1]}, {steps} steps of {recipe.batch}) takes about {duration(seconds)} on "
        f"{where}{end}."
    )


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days in words, with two digits."""
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return (
                f"{seconds / size:.2g} {name}"
                if seconds < 10 * size
                else (f"{seconds / size:.0f} {name}")
            )
    return f"{max(1.0, seconds):.0f} seconds"


def _trainer(
    prepared: Prepared, settings: TrainSettings, network: SpiNetworkSettings
) -> tuple[SpiTrainer, list[str]]:
    data, division = prepared.data, prepared.division
    names = data.class_names
    if len(names) != 2 or prepared.positive is None:
        raise TrainingError(
            f"The network tells one class from all others, and there are {len(names)} "
            f"({', '.join(names)}); choose the target class."
        )
    if settings.components or settings.search != "none" or settings.calibration != "none":
        raise TrainingError(
            "The network sees pictures and has no search, no calibration and no principal "
            "components; leave them out."
        )
    learn = ~division.test
    classes = data.classes[learn]
    single = classes == names.index(prepared.positive)
    groups = None if division.groups is None else division.groups[learn]
    # What the recipe says is known once it is known whether there is a GPU.
    from napari_xfelsort.core.deep.networks import device_of

    recipe = network.recipe_for(device_of(network.device) != "cpu")
    for name, count in ((names[k], int((classes == k).sum())) for k in (0, 1)):
        if count < recipe.parts:
            raise TrainingError(
                f"The class {name!r} has {count} events to train with; {recipe.parts} networks "
                f"need at least {recipe.parts}."
            )
    layout = picture_layout(prepared.extractor, prepared.geometry, network.cell)
    parts, notes = make_folds(classes, groups, recipe.parts, settings.seed)
    pictures = layout.pictures(data.matrix[learn])
    spi = SpiData(pictures, single, np.asarray(parts, np.int64), layout, prepared.photon)
    trainer = SpiTrainer(spi, network, settings.seed)
    if recipe.rings and not trainer.recipe.rings:
        notes.append("Without a geometry the networks see the pictures alone, and no rings.")
    return trainer, notes
