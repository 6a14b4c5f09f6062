"""Pixels chosen by the user, kept in laboratory terms and resolved to raw pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Part of the detector (to be filled in)."""
