"""Training sets that the tests of learning share."""

from __future__ import annotations

import numpy as np

from napari_xfelsort.core.source import ArraySource
from napari_xfelsort.core.stack import EventStack
from napari_xfelsort.core.training import train


def labelled_run(n_files=4, n=40, seed=0, step=8.0, shape=(6, 8), name="run{}.cxi", classes=2):
    """Files of noise; every so many events are darker in a part, and of another class."""
    rng = np.random.default_rng(seed)
    names = ["good", "bad", "ice"][:classes]
    sources, labels = [], []
    for k in range(n_files):
        frames = rng.normal(100, 5, (n, *shape)).astype(np.float32)
        kind = rng.permutation(np.arange(n) % (classes + 1)) % classes
        frames[kind == 1, : shape[0] // 2] -= step
        frames[kind == 2, shape[0] // 2 :] += step
        sources.append(ArraySource(frames, name.format(k)))
        labels += [names[c] for c in kind]
    return EventStack(sources), labels


def blobs(n=120, n_features=6, classes=2, seed=0, apart=1.0):
    """Features and class numbers: overlapping clouds."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(n) % classes
    matrix = rng.normal(size=(n, n_features)) + apart * numbers[:, np.newaxis] * rng.normal(
        size=n_features
    )
    return matrix.astype(np.float32), numbers


def quick_and_slow():
    """A quick model that is sometimes wrong, and another, of the same events."""
    stack, labels = labelled_run(n=60, step=4)
    options = {"split": "event", "cache": False, "workers": 0}
    quick = train(stack, labels, model="naive_bayes", bin=3, **options)
    slow = train(stack, labels, model="logistic_regression", **options)
    return quick, slow
