"""A model and sources for the tests of sorting; workers import them from here."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_xfelsort.core.cascade import Band, Cascade
from napari_xfelsort.core.decisions import FAILED, UNSURE, Decisions
from napari_xfelsort.core.errors import UnreadableFileError
from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack

SHAPE = (4, 6)
CLASSES = ("good", "bad")


class MeanModel:
    """The probability of good is the mean of the frame; between 0.4 and 0.6 is unsure."""

    class_names = CLASSES
    region = "whole"
    threshold = None
    positive = "good"
    pixels = SimpleNamespace(shape=SHAPE)

    def __init__(self, seconds: float = 0.0, name: str = "mean", refuse: str = "") -> None:
        self.seconds = seconds
        self.name = name
        self.refuse = refuse
        self.metrics: dict[str, Any] = {}
        self.provenance: dict[str, Any] = {}
        self.warnings: list[str] = []

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def check(self, stack: EventStack) -> list[str]:
        return ["It is only a mean."]

    def predict_block(self, stack: EventStack, block: Any) -> Decisions:
        if self.refuse and self.refuse in block.source.path:
            raise ValueError(f"no decision on {block.source.path}")
        time.sleep(self.seconds * len(block.indices))
        n = len(block.indices)
        probabilities = np.full((n, 2), np.nan)
        chosen, flags = np.full(n, UNSURE, "<U8"), [""] * n
        for k, index in enumerate(block.indices.tolist()):
            assert stack.locate(int(block.positions[k])) == (block.source, index)
            try:
                p = float(block.source.read(index).mean(dtype=np.float64))
            except UnreadableFileError as error:
                chosen[k], flags[k] = FAILED, str(error)
                continue
            probabilities[k] = p, 1 - p
            if abs(p - 0.5) > 0.1:
                chosen[k] = CLASSES[p < 0.5]
        ids = [block.source.event_id(i) for i in block.indices.tolist()]
        return Decisions(ids, CLASSES, chosen, probabilities, flags)


class SquareModel(MeanModel):
    """The probability of good is the square of the mean; the classes are the other way round."""

    class_names = CLASSES[::-1]

    def predict_block(self, stack: EventStack, block: Any) -> Decisions:
        made = super().predict_block(stack, block)
        p = made.probabilities[:, 0] ** 2
        chosen = np.where(p < 0.5, "bad", "good")
        chosen = np.where(made.chosen == FAILED, FAILED, chosen)
        columns = np.column_stack([1 - p, p])
        return Decisions(made.event_ids, self.class_names, chosen, columns, made.flags)


#: Means from which on, and below which, the first model of `pair` asks no other.
BAND = Band(0.3, 0.7, 0.0, 0.1, 0.4, 50)


def pair(seconds: float = 0.0, first: str = "quick", second: str = "slow") -> Cascade:
    """A cascade of two models that decide otherwise."""
    return Cascade(MeanModel(seconds, first), SquareModel(seconds, second), BAND)  # type: ignore[arg-type]


class HeldModel(MeanModel):
    """Does not decide on the last blocks before a file is there."""

    def __init__(self, until: Path, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.until = until

    def predict_block(self, stack: EventStack, block: Any) -> Decisions:
        while block.source.path == "2.cxi" and not self.until.exists():
            time.sleep(0.01)
        return super().predict_block(stack, block)


class WindowModel(MeanModel):
    """The probability of good grows with the mean of a window of a real detector's frame."""

    pixels = SimpleNamespace(shape=(200, 200))

    def predict_block(self, stack: EventStack, block: Any) -> Decisions:
        window = (slice(700, 900), slice(700, 900))
        frames = block.source.read_many(block.indices.tolist(), window).clip(0, 1000)
        p = 1 - np.exp(-frames.mean(axis=(1, 2), dtype=np.float64) / 5)
        chosen = np.where(p < 0.3, "bad", np.where(p > 0.6, "good", UNSURE))
        ids = [block.source.event_id(i) for i in block.indices.tolist()]
        return Decisions(ids, CLASSES, chosen, np.column_stack([p, 1 - p]))


class Source(ArraySource):
    """Frames of given means; some of them cannot be read, or kill the process."""

    def __init__(
        self,
        means: Any,
        path: str,
        broken: tuple[int, ...] = (),
        deadly: int | None = None,
        deaths: Path | None = None,
        max_deaths: int = 10**9,
    ) -> None:
        means = np.asarray(means, np.float64)
        super().__init__(np.broadcast_to(means[:, None, None], (len(means), *SHAPE)), path)
        self.dataset = "/data"
        self.broken = broken
        self.deadly = deadly
        self.deaths = deaths
        self.max_deaths = max_deaths

    def read(self, i: int, window: Any = None, out: Any = None) -> Any:
        if i in self.broken:
            raise UnreadableFileError(f"{self.path} //{i} cannot be read: the chunk is torn.")
        if i == self.deadly and self.deaths is not None:
            died = self.deaths.stat().st_size if self.deaths.exists() else 0
            if died < self.max_deaths:
                with self.deaths.open("a") as log:
                    log.write("x")
                os.kill(os.getpid(), signal.SIGKILL)
        return super().read(i, window, out)


def means(n: int, seed: int) -> np.ndarray:
    """Means of frames, some of them between the classes."""
    return np.random.default_rng(seed).integers(0, 101, n) / 100


def expected_class(mean: float) -> str:
    """What the model must say, worked out from the mean by hand."""
    if mean < 0.4:
        return "bad"
    return "good" if mean > 0.6 else "unsure"


def stack_of(*sources: Source, **more: Any) -> EventStack:
    return EventStack(sources, **more)


def results(out: Path) -> dict[str, bytes]:
    """Contents of all tables and lists."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted([*out.glob("*.lst"), *out.glob("decisions/*.csv")])
    }
