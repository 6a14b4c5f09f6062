"""Settings of networks that tell anomalies."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.settings import Settings, setting

ARCHITECTURES = ("resnet18", "resnet34", "resnet50")
REPRESENTATIONS = ("cartesian", "polar_min", "polar_max")
DEVICES = ("auto", "cpu", "cuda")
WHEN = ("auto", "always", "never")


@dataclass(frozen=True)
class DeepSettings(Settings):
    """How a network is made and trained, after RefleX (Czyzewski et al. 2021)."""

    architecture: str = setting("resnet18", "residual network", choices=ARCHITECTURES)
    representation: str = setting(
        "cartesian",
        "what it sees: the frame, or the frame unrolled around the beam up to the nearest edge "
        "or the farthest corner",
        choices=REPRESENTATIONS,
    )
    picture_size: int = setting(
        512, "side of the pictures that frames become", unit="px", minimum=32, maximum=2048
    )
    sizes: tuple[int, ...] = setting(
        (64, 128, 256, 512),
        "sides that the pictures are reduced to, one training after the other; the last one is "
        "used",
        unit="px",
        minimum=32,
        maximum=2048,
    )
    channels: int = setting(
        3,
        "1: the mean of the pixels that a pixel of a reduced picture stands for; 3: also the "
        "smallest and the largest",
        minimum=1,
        maximum=3,
    )
    weights: str = setting(
        "auto",
        "weights of the same network trained on ImageNet: a file (.safetensors, .pth), none, or "
        "auto for those that torchvision has kept on this computer; nothing is downloaded",
    )
    freeze: str = setting(
        "auto",
        "whether at each size the last layer is trained alone first (auto: with given weights)",
        choices=WHEN,
    )
    layer_rates: str = setting(
        "auto",
        "whether early layers learn slower: 1/8, 1/4, 1/2 and all of the learning rate (auto: "
        "with given weights)",
        choices=WHEN,
    )
    learning_rate: float = setting(1e-3, "largest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = setting(1e-4, "decay of the weights", minimum=0, maximum=1)
    cycles: int = setting(
        3, "restarts of the learning rate at each size, frozen or not", minimum=1, maximum=12
    )
    cycle_length: int = setting(1, "epochs of the first cycle", minimum=1, maximum=1000)
    cycle_mult: int = setting(
        2, "how many times as long each cycle is as the one before", minimum=1, maximum=4
    )
    patience: int = setting(
        12, "epochs without a smaller loss on the validation share that end a size", minimum=1
    )
    batch_size: int = setting(16, "pictures in a step", minimum=2, maximum=4096)
    dropout: float = setting(
        0.5, "share of the features that the last layer misses", minimum=0, maximum=0.95
    )
    lighting: float = setting(
        0.1, "largest change of brightness and of contrast", minimum=0, maximum=0.9
    )
    zoom: float = setting(1.1, "largest enlargement", minimum=1, maximum=4)
    turn: bool = setting(
        True, "turn and mirror pictures; unrolled ones are shifted along the angle"
    )
    class_weight: str = setting(
        "balanced",
        "whether events with a rare anomaly count as much as those without it",
        choices=("none", "balanced"),
    )
    validation_share: float = setting(
        0.2,
        "share of the events that ends training and chooses thresholds",
        minimum=0.01,
        maximum=0.9,
    )
    device: str = setting("auto", "where to compute", choices=DEVICES)
    seed: int = setting(0, "equal seeds give equal models", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise SettingsError(f"channels is {self.channels} but must be 1 or 3.")
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise SettingsError(f"sizes is {self.sizes} but must grow from one to the next.")
        wrong = [size for size in self.sizes if self.picture_size % size]
        if wrong:
            raise SettingsError(
                f"Pictures of {self.picture_size} px cannot be reduced to {wrong[0]} px; each of "
                "sizes must divide picture_size."
            )
        if not self.weights.strip():
            raise SettingsError("weights is empty but must be a file, auto or none.")

    @property
    def size(self) -> int:
        """Side of the pictures that the trained network sees."""
        return self.sizes[-1]

    @property
    def unrolled(self) -> bool:
        """Whether rows are angles and columns radii."""
        return self.representation != "cartesian"
