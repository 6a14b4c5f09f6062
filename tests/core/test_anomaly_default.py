"""The model that comes with the program: what it is, and that it tells fresh frames."""

from __future__ import annotations

import numpy as np

from napari_xfelsort.core.anomalies import default_model
from napari_xfelsort.core.anomalies.default import DEFAULT_NOTE
from napari_xfelsort.core.anomalies.frame_features import frame_features
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.anomalies.residuals import Optics
from napari_xfelsort.core.simulate.anomalies import AnomalyMaker, AnomalySimulationSettings


def test_it_says_what_it_is():
    model = default_model()
    assert model.class_names == ANOMALIES
    assert model.provenance["trained_on"] == "simulation"
    assert "simulated" in model.provenance["note"]
    assert "simulated" in DEFAULT_NOTE
    assert default_model() is model


def test_it_sees_the_features_of_this_version():
    frame = np.random.default_rng(0).poisson(20.0, (130, 140))
    assert tuple(frame_features(frame, (60.0, 70.0))) == default_model().feature_names


def test_it_tells_fresh_frames_of_a_detector_it_never_saw():
    model = default_model()
    assert "jungfrau" not in model.provenance["detectors"]
    maker = AnomalyMaker(
        AnomalySimulationSettings(detector="jungfrau", setups="event", seed=77, ice_ring=0.3)
    )
    rows, truth = [], []
    for i in range(10):
        event = maker.event(i)
        optics = Optics(event.optics.wavelength, event.optics.distance)
        rows.append(list(frame_features(event.image, event.center, event.mask, optics).values()))
        truth.append(event.labels == 1)
    chosen = model.choose(model.probabilities(np.array(rows, np.float32)))
    assert (chosen == np.array(truth)).mean() > 0.85
