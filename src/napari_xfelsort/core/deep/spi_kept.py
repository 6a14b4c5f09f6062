"""What is trained so far, on disk, so that a training that was stopped goes on."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_xfelsort.core.atomic import atomic_write, make_folder
from napari_xfelsort.core.deep.spi_resnet import Tensors
from napari_xfelsort.core.errors import OutputError
from napari_xfelsort.core.feature_cache import cache_folder


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Where the training of a network is.

    Attributes
    ----------
    tensors, best, moments : dict of str to ndarray of float32
        Of the network now, of it at its smallest loss, and of the optimiser.
    epoch : int
        Epochs done.
    best_loss : float
    since : int
        Epochs since the smallest loss.
    done : bool
        The training of this network has ended; ``best`` is what came of it.
    """

    tensors: Tensors
    best: Tensors
    moments: Tensors
    epoch: int
    best_loss: float
    since: int
    done: bool = False


class KeptStates:
    """Files of what is trained so far; one that is torn is as good as none.

    Parameters
    ----------
    key : str
        Of all that training depends on.
    folder : Path, optional
        By default in the user's cache.
    """

    def __init__(self, key: str, folder: Path | None) -> None:
        self.folder = cache_folder() / "networks" if folder is None else folder
        self.key = key

    def write(self, number: int, state: TrainingState) -> None:
        """Keep a state; a disk that is full stops no training."""
        arrays: dict[str, Any] = {}
        for group in ("tensors", "best", "moments"):
            arrays |= {f"{group}/{name}": v for name, v in getattr(state, group).items()}
        arrays["numbers"] = np.array(
            [state.epoch, state.best_loss, state.since, state.done], np.float64
        )
        with suppress(OSError, OutputError):
            make_folder(self.folder)
            with atomic_write(self._path(number), True) as temporary, temporary.open("wb") as out:
                np.savez(out, **arrays)

    def read(self, number: int) -> TrainingState | None:
        """The state of a network; None where there is none."""
        try:
            with self._path(number).open("rb") as source, np.load(source) as kept:
                groups: dict[str, Tensors] = {"tensors": {}, "best": {}, "moments": {}}
                for name in kept.files:
                    group, _, own = name.partition("/")
                    if own:
                        groups[group][own] = kept[name]
                epoch, loss, since, done = kept["numbers"].tolist()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return TrainingState(
            **groups, epoch=int(epoch), best_loss=loss, since=int(since), done=bool(done)
        )

    def forget(self, networks: int) -> None:
        """All is done: nothing needs to be kept."""
        for number in range(networks):
            with suppress(OSError):
                self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.key}-{number}.npz"
