"""Every error a user can cause or meet, as one sentence that says what to do."""

from __future__ import annotations

from dataclasses import dataclass


class XfelsortError(Exception):
    """Base of all errors of this package; its text is a sentence for the user."""


class UnreadableFileError(XfelsortError):
    """A file cannot be read: absent, truncated, not HDF5, a filter is missing."""


class NoEventsError(XfelsortError):
    """A file was read but holds no detector frames, or none yet."""


class ListError(XfelsortError):
    """A list file is not a list of events, or names what does not exist."""


class GeometryError(XfelsortError):
    """A geometry is malformed, or does not fit the frames."""


class RegionError(XfelsortError):
    """A region names an unknown panel, or holds no usable pixel."""


class LabelError(XfelsortError):
    """A label folder or label is unusable."""


class TrainingError(XfelsortError):
    """A model cannot be trained from what was given."""


class ModelError(XfelsortError):
    """A model file cannot be opened, or does not suit the data."""


class SettingsError(XfelsortError, ValueError):
    """A setting is out of range or unknown."""


class OutputError(XfelsortError):
    """A result cannot be written, or would overwrite one that exists."""


class OtherResultsError(OutputError):
    """A folder holds results of other input; they can be overwritten on request."""


class ClusterError(XfelsortError):
    """The workers of a parallel task, or their scheduler, cannot be reached."""


class MissingDependencyError(XfelsortError, ImportError):
    """An optional package is needed for this and is not installed."""


@dataclass(frozen=True)
class Problem:
    """Something that could not be used, told without stopping the rest.

    Attributes
    ----------
    file : str
        The file (as the user gave it) that the problem is in.
    what : str
        One sentence: what is wrong and what to do.
    """

    file: str
    what: str

    def __str__(self) -> str:
        return self.what if self.file in self.what else f"{self.file}: {self.what}"
