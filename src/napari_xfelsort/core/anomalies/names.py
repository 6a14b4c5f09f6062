"""The seven anomalies of diffraction frames, in the order of Czyzewski et al. (2021)."""

from __future__ import annotations

#: Names as the published labels have them.
ANOMALIES = (
    "loop_scattering",
    "background_ring",
    "strong_background",
    "diffuse_scattering",
    "artifact",
    "ice_ring",
    "non_uniform_detector",
)

#: What users read.
ANOMALY_TITLES = {
    "loop_scattering": "Loop scattering",
    "background_ring": "Background ring",
    "strong_background": "Strong background",
    "diffuse_scattering": "Diffuse scattering",
    "artifact": "Artifact",
    "ice_ring": "Ice ring",
    "non_uniform_detector": "Non-uniform detector",
}
