"""What can be chosen when peaks are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.settings import Settings, setting

#: The finders.
FINDERS = ("poisson", "robust", "learned", "peakfinder8")
#: Largest distance from the beam of CrystFEL's peakfinder8, in pixels.
PEAKFINDER8_MAX_RES = 1200.0


@dataclass(frozen=True)
class PeakSettings(Settings):
    """Which finder, its parameters, and from how many peaks on an event is a hit.

    The finders ``poisson`` and ``robust`` need none set. Those of ``peakfinder8`` have the
    names and defaults of CrystFEL.
    """

    finder: str = setting(
        "poisson",
        "poisson: thresholds follow the background of rings; robust: above robust planes, "
        "whatever the background is like; learned: places of poisson, judged by a network; "
        "peakfinder8: as CrystFEL and Cheetah",
        choices=FINDERS,
    )
    min_peaks: int = setting(
        2, "an event with at least so many peaks is a hit", unit="peaks", minimum=1
    )
    significance: float = setting(
        9.5,
        "poisson: a peak is less likely than one in ten to this power where only background is",
        minimum=3.0,
        maximum=100.0,
    )
    adu_per_photon: float | None = setting(
        None,
        "all but peakfinder8: value of one photon; that of the geometry, or found in the frame, "
        "if omitted",
        unit="ADU",
        minimum=1e-6,
    )
    robust_snr: float = setting(
        6.5,
        "robust: least ratio of signal to noise of a peak, by its chance where photons are few",
        minimum=3.0,
        maximum=100.0,
    )
    window: int = setting(
        32,
        "robust: side of the windows that planes are fitted to",
        unit="pixels",
        minimum=8,
        maximum=256,
    )
    repeats: float = setting(
        0.33,
        "all but peakfinder8: peaks at the same pixel in more than this share of a run's events "
        "are left out, and learnt rings and streaks; 1 leaves none out",
        minimum=0.01,
        maximum=1.0,
    )
    model: str = setting("", "learned: model file; the one that comes with the program if omitted")
    probability: float | None = setting(
        None,
        "learned: least probability of a peak; that of the model if omitted",
        minimum=0.0,
        maximum=1.0,
    )
    min_res: float = setting(
        0.0, "least distance of a peak from the beam", unit="pixels", minimum=0.0
    )
    max_res: float | None = setting(
        None,
        "largest distance of a peak from the beam; 1200 for peakfinder8 and none for the "
        "others if omitted",
        unit="pixels",
        minimum=0.0,
    )
    max_n_peaks: int = setting(
        2048, "most peaks of an event; no more are looked for", unit="peaks", minimum=1
    )
    threshold: float = setting(800.0, "peakfinder8: a pixel of a peak is above this", unit="ADU")
    min_snr: float = setting(
        5.0, "peakfinder8: least ratio of signal to noise of pixels and peaks", minimum=0.0
    )
    min_pix_count: int = setting(
        2, "peakfinder8: fewest pixels of a peak", unit="pixels", minimum=1
    )
    max_pix_count: int = setting(
        200, "peakfinder8: most pixels of a peak", unit="pixels", minimum=1
    )
    local_bg_radius: int = setting(
        3,
        "peakfinder8: the background around a peak reaches twice this far",
        unit="pixels",
        minimum=1,
        maximum=100,
    )

    @property
    def largest_radius(self) -> float:
        """Largest distance from the beam in pixels; infinite when there is no limit."""
        if self.max_res is not None:
            return self.max_res
        return PEAKFINDER8_MAX_RES if self.finder == "peakfinder8" else float("inf")
