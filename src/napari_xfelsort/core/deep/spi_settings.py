"""Settings of networks that tell single hits, and the two recipes that fill them in."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from napari_xfelsort.core.deep.settings import DEVICES
from napari_xfelsort.core.settings import Settings, setting

PRESETS = ("max_f1", "more_sh")
RECIPES = ("auto", "cpu", "paper")
ARCHITECTURES = ("early", "paper")
MIRRORS = ("none", "rows", "columns", "both")
#: Steps of an epoch, as in the paper.
EPOCH_STEPS = 50


@dataclass(frozen=True)
class SpiNetworkSettings(Settings):
    """How networks that tell single hits are made and trained.

    After Assalauova et al. (2022). What is not given (None) is as the recipe has it.
    """

    preset: str = setting(
        "max_f1",
        "max_f1: as many right decisions as can be; more_sh: few single hits are lost, for more "
        "that are none",
        choices=PRESETS,
    )
    recipe: str = setting(
        "auto",
        "paper: as published, for a GPU; cpu: minutes on one core; auto: by whether there is a "
        "GPU",
        choices=RECIPES,
    )
    architecture: str | None = setting(
        None,
        "residual network: paper, or early, which has fewer pixels from its first layer on",
        choices=ARCHITECTURES,
    )
    cell: int | None = setting(
        None,
        "pixels along the side of a cell of the picture that the network sees",
        unit="px",
        minimum=1,
        maximum=1024,
    )
    root: bool | None = setting(None, "see square roots of values, whose noise is even")
    rings: bool | None = setting(
        None,
        "give the network strength and contrast of rings about the beam beside the picture; "
        "needs a geometry",
    )
    parts: int | None = setting(
        None,
        "parts of the training share, each left out by one network; all of them decide",
        minimum=2,
        maximum=20,
    )
    epochs: int | None = setting(
        None, f"epochs of {EPOCH_STEPS} steps", minimum=1, maximum=100_000
    )
    batch: int | None = setting(None, "pictures in a step", minimum=4, maximum=4096)
    rate: float | None = setting(None, "learning rate at the start", minimum=1e-7, maximum=1)
    drawn_share: float | None = setting(
        None, "share of single hits among what is drawn", minimum=0.001, maximum=0.9
    )
    patience: int | None = setting(
        None,
        "epochs without a smaller loss on the part left out that end a network; 0 for never",
        minimum=0,
    )
    strength: float = setting(
        0.6, "how much pictures are changed in training; 0 not at all", minimum=0, maximum=3
    )
    mirrors: str = setting(
        "auto",
        "mirror pictures in training and average over mirrored ones: auto takes those that map "
        "the detector onto itself",
        choices=("auto", *MIRRORS),
    )
    precision: str = setting(
        "auto",
        "numbers that training multiplies: bfloat16, which is faster where the processor has it "
        "(auto: there), or float32",
        choices=("auto", "float32", "bfloat16"),
    )
    device: str = setting("auto", "where to compute", choices=DEVICES)
    resume: bool = setting(
        True, "keep what is trained so far, so that the same training goes on after a stop"
    )

    def recipe_for(self, has_gpu: bool) -> SpiRecipe:
        """All that is to be known, with what the recipe says for what is not given.

        Parameters
        ----------
        has_gpu : bool
            Whether there is a GPU.
        """
        name = self.recipe
        if name == "auto":
            name = "paper" if has_gpu else "cpu"
        values = dict(_RECIPES[name])
        if self.preset == "more_sh":
            values |= _MORE_SH[name]
        given = {key: getattr(self, key) for key in values}
        values |= {key: value for key, value in given.items() if value is not None}
        return SpiRecipe(
            name=name, weights=(0.1, 0.9) if self.preset == "more_sh" else (0.5, 0.5), **values
        )


def split_settings(values: dict[str, Any]) -> tuple[SpiNetworkSettings, dict[str, Any]]:
    """The network's own settings among others, and the others."""
    own = {field.name for field in fields(SpiNetworkSettings)}
    network = SpiNetworkSettings.from_dict({k: v for k, v in values.items() if k in own})
    return network, {k: v for k, v in values.items() if k not in own}


@dataclass(frozen=True)
class SpiRecipe:
    """A recipe with everything filled in; see `SpiNetworkSettings`.

    Attributes
    ----------
    name : str
        ``cpu`` or ``paper``.
    architecture, root, rings, parts, epochs, batch, rate, drawn_share, patience
        As of the settings.
    weights : tuple of float
        Of what is no single hit, and of single hits, in the loss.
    """

    name: str
    weights: tuple[float, float]
    architecture: str
    root: bool
    rings: bool
    parts: int
    epochs: int
    batch: int
    rate: float
    drawn_share: float
    patience: int

    def rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch: polynomial (Chen et al. 2018)."""
        return float(self.rate * (1 - epoch / self.epochs) ** 0.9)

    def to_dict(self) -> dict[str, object]:
        """All values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "weights": list(self.weights)
        }


_RECIPES: dict[str, dict[str, Any]] = {
    "paper": {
        "architecture": "paper",
        "root": False,
        "rings": False,
        "parts": 5,
        "epochs": 1000,
        "batch": 64,
        "rate": 1e-4,
        "drawn_share": 0.02,
        "patience": 100,
    },
    "cpu": {
        "architecture": "early",
        "root": True,
        "rings": True,
        "parts": 3,
        "epochs": 33,
        "batch": 32,
        "rate": 2e-3,
        "drawn_share": 0.2,
        "patience": 0,
    },
}
_MORE_SH: dict[str, dict[str, Any]] = {
    "paper": {"drawn_share": 0.05},
    "cpu": {},
}
