"""A trained classifier with all that is needed to apply and judge it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.decisions import FAILED, UNSURE, Decisions
from napari_xfelsort.core.deep.spi_model import check_runtime
from napari_xfelsort.core.errors import ModelError, RegionError
from napari_xfelsort.core.estimators import class_probabilities
from napari_xfelsort.core.features import (
    FeatureExtractor,
    FeaturePlaces,
    FeatureReader,
    FeatureSettings,
    Progress,
)
from napari_xfelsort.core.learning.calibration import Calibration
from napari_xfelsort.core.learning.judging import DecisionRule, Misjudged, misjudged
from napari_xfelsort.core.learning.narrowing import Narrowed, narrowed
from napari_xfelsort.core.region import Region, ResolvedRegion

if TYPE_CHECKING:
    from napari_xfelsort.core.stack import EventBlock, EventStack

#: Stacks whose masks a model keeps in a process.
_KEPT_READERS = 16


@dataclass(eq=False)
class Model:
    """A trained classifier.

    Attributes
    ----------
    class_names : tuple of str
        The classes, in the order of the probabilities.
    estimator : object
        The fitted scikit-learn classifier; its classes are the numbers 0, 1, ...
    features : FeatureSettings
        What the features of an event are.
    region : Region
        What the user chose.
    raw_shape : tuple of int
        Shape of the frames it was trained on.
    pixels : ResolvedRegion
        The raw pixels of the region that were good in training. Sorting uses the same
        ones, whatever geometry it is given.
    geometry_digest : str or None
        Key of the geometry in training.
    threshold : float or None
        Probability from which ``positive`` is decided, or, without one, that the most
        likely class must reach. None decides for the most likely class.
    positive : str or None
        Of two classes the one that the threshold is about.
    metrics : dict
        How well the model did on the test share; see `metrics.evaluate`.
    provenance : dict
        Settings, versions, time and digest of the training set.
    warnings : list of str
        What a careful colleague would say about the training.
    places : FeaturePlaces
        Where these pixels are, for features that depend on it: as the geometry in
        training said.
    band : tuple of float or None
        Of two classes: ``positive`` is decided from the second probability on, the other
        below the first, and what is between is unsure; the threshold then does not matter.
    margin : float
        Of more classes: how far the most likely must be ahead of the next; else unsure.
    calibration : Calibration or None
        What makes probabilities of the classifier's scores, if not the classifier itself.
    """

    class_names: tuple[str, ...]
    estimator: Any
    features: FeatureSettings
    region: Region
    raw_shape: tuple[int, ...]
    pixels: ResolvedRegion
    geometry_digest: str | None = None
    threshold: float | None = None
    positive: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    places: FeaturePlaces = field(default_factory=FeaturePlaces)
    band: tuple[float, float] | None = None
    margin: float = 0.0
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        self._readers: dict[int, FeatureReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Workers make these again: they hold the stack, or follow from the rest.
        state = {k: v for k, v in self.__dict__.items() if k not in ("extractor", "_narrowed")}
        return {**state, "_readers": {}}

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """What turns frames into this model's features."""
        return FeatureExtractor(self.features, self.pixels, self.raw_shape, self.places)

    @cached_property
    def _narrowed(self) -> Narrowed | None:
        """The classifier for the features that it asks for only, if it is made of trees."""
        return narrowed(self.estimator)

    def predict(self, stack: EventStack, progress: Progress | None = None) -> Decisions:
        """Decide on every event of a stack, read in bounded blocks.

        Parameters
        ----------
        stack : EventStack
            Frames of the shape the model was trained on.
        progress : callable, optional
            Called with events done and events in all.

        Raises
        ------
        ModelError
            If the model does not suit the frames.
        """
        self.check(stack)
        n, n_classes = len(stack), len(self.class_names)
        parts: list[Decisions] = []
        order = np.empty(n, np.int64)
        done = 0
        for block in stack.blocks(self.block_events(stack)):
            parts.append(self.predict_block(stack, block))
            order[block.positions] = done + np.arange(len(block.positions))
            done += len(block.positions)
            if progress is not None:
                progress(done, n)
        if not parts:
            return Decisions([], self.class_names, np.empty(0, "<U1"), np.empty((0, n_classes)))
        whole = Decisions.concatenate(parts)
        return Decisions(
            [whole.event_ids[k] for k in order],
            self.class_names,
            whole.chosen[order],
            whole.probabilities[order],
            [whole.flags[k] for k in order],
        )

    def block_events(self, stack: EventStack) -> int:
        """How many events of a stack to hand to `predict_block` at once."""
        return self._reader_of(stack).block_events

    def predict_block(self, stack: EventStack, block: EventBlock) -> Decisions:
        """Decide on a block of events.

        An event that cannot be read becomes ``"failed"`` with the reason in its flags;
        one without features (all pixels bad, a number not stored) becomes ``"unsure"``. The
        others go on.
        """
        columns, estimator = self._narrowed or (None, self.estimator)
        matrix, failed, unusable = self._reader_of(stack).read(block, columns)
        probabilities = class_probabilities(
            estimator, matrix, len(self.class_names), self.calibration
        )
        chosen = self.rule.decide(probabilities, self.class_names)
        flags = [""] * len(matrix)
        for k in np.flatnonzero(np.isnan(probabilities[:, 0])).tolist():
            flags[k] = failed.get(k) or unusable.get(k, "")
            chosen[k] = FAILED if k in failed else UNSURE
        events = [block.source.event_id(index) for index in block.indices.tolist()]
        return Decisions(events, self.class_names, chosen, probabilities, flags)

    def _reader_of(self, stack: EventStack) -> FeatureReader:
        """The reader of a stack; kept, with the masks it has read, for the next block."""
        reader = self._readers.get(id(stack))
        if reader is None:
            reader = FeatureReader(stack, self.extractor)
            if len(self._readers) >= _KEPT_READERS:
                self._readers.clear()
            self._readers[id(stack)] = reader  # holds the stack, so its id stays its own
        return reader

    def check(self, stack: EventStack) -> list[str]:
        """Whether the model suits a stack.

        Returns
        -------
        list of str
            Sentences on differences that may matter.

        Raises
        ------
        ModelError
            If the frames have another shape, or the geometry lacks a panel of the region.
        MissingDependencyError
            If it is a network, and PyTorch is not installed.
        """
        check_runtime(self.estimator)
        if tuple(stack.raw_shape) != self.raw_shape:
            raise ModelError(
                f"The model was trained on frames of {self.raw_shape}, but these have "
                f"{tuple(stack.raw_shape)}; train a model for this detector."
            )
        geometry = stack.geometry
        if geometry is None or self.geometry_digest in (None, geometry.digest):
            return []
        warnings = [
            "The geometry differs from the one the model was trained with; it uses the same "
            "raw pixels."
        ]
        if self.region.kind == "panels":
            try:
                now = self.region.resolve(self.raw_shape, geometry)
            except RegionError as error:
                raise ModelError(
                    f"The model does not suit this geometry: {error} Choose the geometry of "
                    "the detector it was trained for."
                ) from error
            if now.window != self.pixels.window:
                warnings.append(
                    f"The region {self.region} is at other raw pixels in this geometry; check "
                    "that it is the same detector."
                )
        return warnings

    @property
    def rule(self) -> DecisionRule:
        """How its probabilities become decisions."""
        return DecisionRule(self.threshold, self.positive, self.band, self.margin)

    def with_rule(self, rule: DecisionRule) -> Model:
        """The same classifier with another threshold or band, judged anew.

        A threshold that is chosen by looking at the test share makes its numbers too
        hopeful; look at the curves of ``metrics["out_of_fold"]`` instead.

        Raises
        ------
        ModelError
            If the rule is for other classes, or not all events of the test share are known.
        """
        from napari_xfelsort.core.learning.judging import judge, judged_of

        if rule.positive != self.positive:
            raise ModelError(
                f"The threshold of this model is about {self.positive!r}, not {rule.positive!r}."
            )
        judged = judged_of(self.metrics, len(self.class_names))
        if judged is None:
            raise ModelError(
                "The model does not keep all events that it was tested with, so another threshold "
                "cannot be judged; train again with it."
            )
        seed = int(self.provenance.get("seed", 0))
        metrics = {
            **self.metrics,
            **judge(judged, self.class_names, rule, seed),
            "threshold": "default" if rule.threshold is None else "number",
        }
        return replace(
            self,
            threshold=rule.threshold,
            band=rule.band,
            margin=rule.margin,
            metrics=metrics,
        )

    def misclassified(self) -> list[Misjudged]:
        """Events of the test share that were not decided as they are labelled.

        The surest mistakes come first; unsure ones are among them.
        """
        return misjudged(self.metrics, self.class_names, self.rule)

    def report_text(self) -> str:
        """Metrics of the test share as tables for the terminal."""
        from napari_xfelsort.core.learning.model_text import model_text

        return model_text(self)

    @cached_property
    def digest(self) -> str:
        """Key of what the model decides: equal for a model and its reloaded file."""
        from napari_xfelsort.core.model_digest import add_state

        digest = hashlib.sha256()
        description = {
            "classes": self.class_names,
            "features": self.features.to_dict(),
            "raw_shape": self.raw_shape,
            "window": [[s.start, s.stop] for s in self.pixels.window],
            "threshold": self.threshold,
            "positive": self.positive,
            "band": self.band,
            "margin": self.margin,
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
        }
        digest.update(json.dumps(description, sort_keys=True).encode())
        add_state(digest, self.pixels.inside)
        self.places.add_to(digest)
        add_state(digest, self.estimator)
        return digest.hexdigest()[:32]

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the model file (``NAME.xfelmodel``).

        Raises
        ------
        OutputError
            If the file exists and must not be replaced, or cannot be written.
        """
        from napari_xfelsort.core.model_file import write_model

        write_model(self, path, overwrite)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Open a model file; nothing in it is run.

    Raises
    ------
    ModelError
        If it is no model file, is damaged, or holds what a model does not.
    """
    from napari_xfelsort.core.model_file import read_model

    return read_model(path)
