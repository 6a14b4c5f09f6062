"""Principal components: fewer numbers that hold most of what differs between events."""

from __future__ import annotations

from typing import Any


def principal_components(n: int, seed: int = 0) -> Any:
    """The unfitted step of a pipeline that turns features into principal components.

    It belongs between scaling and classifier, and must be fitted on the training share
    only: ``make_pipeline(StandardScaler(), principal_components(n), classifier)``. Features
    of several kinds have different units, so scale them first. ``n`` must not exceed the
    number of events to train with, nor that of features; scikit-learn says so otherwise.

    Parameters
    ----------
    n : int
        Components to keep, at least 1; `FeatureSettings.components`, where 0 means that
        there is no such step.
    seed : int
        Equal seeds give equal components, also where they are found by random projection.

    Returns
    -------
    sklearn.decomposition.PCA
        Component k of an event is the projection of its features, less their mean over the
        training share, on the direction of the k-th largest variance.
    """
    from sklearn.decomposition import PCA

    return PCA(n_components=n, random_state=seed)
