"""What a worker does: decide on blocks of events and hand back finished rows."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xfelsort.core.decisions import FAILED, Decisions, unknown
from napari_xfelsort.core.errors import XfelsortError
from napari_xfelsort.core.mask import PixelMask
from napari_xfelsort.core.sorting.plan import Numbers, Part
from napari_xfelsort.core.sorting.tables import rows_text
from napari_xfelsort.core.sorting.tally import Tally
from napari_xfelsort.core.source import EventSource
from napari_xfelsort.core.stack import EventBlock, EventStack

if TYPE_CHECKING:
    from napari_xfelsort.core.cascade import Cascade
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.model import Model

_log = logging.getLogger(__name__)
#: Stacks of one file that a worker keeps at hand, with their files open.
_KEPT_STACKS = 4


@dataclass(eq=False)
class Context:
    """What all tasks of a sort have in common; sent to each worker once.

    Attributes
    ----------
    model : Model or Cascade
        Decides.
    geometry, mask : Geometry, PixelMask, optional
        Of the stack that is sorted.
    dtype : numpy.dtype
        Of that stack.
    keep : int
        Surest and least sure events to report of each class.
    """

    model: Model | Cascade
    geometry: Geometry | None
    mask: PixelMask | None
    dtype: np.dtype[Any]
    keep: int
    _stacks: OrderedDict[int, EventStack] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def stack_of(self, source: EventSource) -> EventStack:
        """The stack of this source alone."""
        with self._lock:
            # The stack holds the source, so that its id is not used again meanwhile.
            stack = self._stacks.pop(id(source), None)
            if stack is None:
                stack = EventStack([source], geometry=self.geometry, mask=self.mask)
                stack.dtype = self.dtype
            self._stacks[id(source)] = stack
            if len(self._stacks) > _KEPT_STACKS:
                self._stacks.popitem(last=False)
            return stack


@dataclass(frozen=True, eq=False)
class PartResult:
    """What became of a block.

    Attributes
    ----------
    part : Part
        The block.
    text : bytes
        Its rows of the table.
    tally : Tally, optional
        What is counted in them.
    error : str
        Why the block failed as a whole; empty when it did not.
    seconds : float
        How long it took; 0 where that was not measured.
    """

    part: Part
    text: bytes = b""
    tally: Tally | None = None
    error: str = ""
    seconds: float = 0.0


def run_task(
    context: Context, sources: Sequence[EventSource], parts: Sequence[Part]
) -> list[PartResult]:
    """Decide on some blocks, each of the source beside it."""
    return [run_part(context, source, part) for source, part in zip(sources, parts, strict=True)]


def run_part(context: Context, source: EventSource, part: Part) -> PartResult:
    """Decide on a block; whatever goes wrong is told in the result."""
    begun = time.perf_counter()
    try:
        indices = np.asarray(part.indices, np.int64)
        block = EventBlock(source, indices, indices)
        decisions = context.model.predict_block(context.stack_of(source), block)
        result = _result(part, decisions, context.keep)
        return replace(result, seconds=time.perf_counter() - begun)
    # A block that cannot be decided on must not stop the others, whatever the reason.
    except Exception as error:  # noqa: BLE001
        _log.debug("block of %s failed", source.path, exc_info=True)
        told = isinstance(error, XfelsortError)
        return PartResult(part, error=str(error) if told else f"{type(error).__name__}: {error}")


def lost_part(
    source: EventSource, part: Part, class_names: tuple[str, ...], why: str
) -> PartResult:
    """Rows for a block that could not be decided on: every event failed."""
    n = len(part.indices)
    decisions = Decisions(
        [source.event_id(int(i)) for i in part.indices],
        class_names,
        np.full(n, FAILED),
        unknown(n, len(class_names)),
        [why] * n,
    )
    result = _result(part, decisions, keep=0)
    return PartResult(part, result.text, result.tally, error=why)


def _result(part: Part, decisions: Decisions, keep: int) -> PartResult:
    if len(decisions) != len(part.indices):
        raise ValueError(f"{len(decisions)} decisions on {len(part.indices)} events")
    return PartResult(part, rows_text(decisions), Tally.of(decisions, keep))


__all__ = ["Context", "Numbers", "PartResult", "lost_part", "run_part", "run_task"]
