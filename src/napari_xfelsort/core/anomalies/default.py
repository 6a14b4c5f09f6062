"""The model of anomalies that comes with the program, trained on simulated frames alone."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from napari_xfelsort.core.errors import ModelError

if TYPE_CHECKING:
    from napari_xfelsort.core.anomalies.training import AnomalyModel

#: What stands for it where a model file is asked for.
DEFAULT = "default"
#: What to tell whoever uses it.
DEFAULT_NOTE = (
    "The default model was trained on simulated frames only: check what it says on events of "
    "yours, and train one on labels of your own where it matters."
)
_FILE = "simulated.xfelanomalies"


@lru_cache(maxsize=1)
def default_model() -> AnomalyModel:
    """The model that comes with the program; read once.

    It sees `frame_features` and tells all of `ANOMALIES`. It was trained on simulated frames
    alone, as its ``provenance`` says (``trained_on`` is ``simulation``); `DEFAULT_NOTE` is
    what to tell users.

    Raises
    ------
    ModelError
        If the installation lacks it, or cannot read it.
    """
    from napari_xfelsort.core.anomalies.model_file import load_anomaly_model

    place = resources.files("napari_xfelsort.core.anomalies") / _FILE
    with resources.as_file(place) as path:
        if not path.is_file():
            raise ModelError(f"The installation lacks its default model ({_FILE}).")
        return load_anomaly_model(path)
