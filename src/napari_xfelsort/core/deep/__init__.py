"""Networks that tell anomalies from pictures of frames (extra ``deep``).

After RefleX (Czyzewski et al. 2021). PyTorch is imported only where a network is run.
"""

from __future__ import annotations

from napari_xfelsort.core.deep.model import DeepModel, ensemble_probabilities
from napari_xfelsort.core.deep.model_file import load_deep_model
from napari_xfelsort.core.deep.settings import DeepSettings
from napari_xfelsort.core.deep.training import TrainingStep, train_deep, train_on_pictures

__all__ = [
    "DeepModel",
    "DeepSettings",
    "TrainingStep",
    "ensemble_probabilities",
    "load_deep_model",
    "train_deep",
    "train_on_pictures",
]
