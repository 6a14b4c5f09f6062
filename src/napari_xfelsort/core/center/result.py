"""What a centre finder answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CenterResult:
    """Where the beam meets the detector, as far as a frame tells.

    Attributes
    ----------
    y, x : float or None
        Row and column in pixels, pixel centres at whole numbers; None when not known. The
        centre may lie off the frame.
    uncertainty : float or None
        Distance in pixels that the true centre is within for about 19 frames of 20; None
        when not known.
    method : str
        What found it.
    reason : str
        Why there is no answer, as a sentence; empty when there is one.
    details : dict
        Figures behind the answer, by name.
    """

    y: float | None
    x: float | None
    uncertainty: float | None
    method: str
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self.y is not None

    @classmethod
    def unknown(cls, method: str, reason: str, **details: Any) -> CenterResult:
        """No answer, and why."""
        return cls(None, None, None, method, reason, details)
