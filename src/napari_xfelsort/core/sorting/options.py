"""What a user can set when sorting."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.settings import Settings, setting

#: Pixels of a block worth a task of its own; more of them would leave workers without work
#: at the end of a short stack ...
_BLOCK_BYTES = 4 << 20
#: ... but not in blocks so small that starting them costs more than their events.
_SMALL_BLOCK = 64


@dataclass(frozen=True)
class SortSettings(Settings):
    """Settings of `sort`; none of them changes a decision."""

    block_bytes: int = setting(
        32_000_000,
        "Pixels that a worker reads at once; bounds its memory",
        unit="bytes",
        minimum=1,
    )
    block_events: int = setting(
        4096, "Most events that a worker takes at once", minimum=1, maximum=1_000_000
    )
    absolute: bool = setting(False, "Write absolute file names to the lists")
    report: bool = setting(True, "Write report.html")
    report_thumbnails: int = setting(
        4, "Surest and least sure events of each class shown in the report", minimum=0, maximum=50
    )


def events_per_block(settings: SortSettings, event_bytes: int) -> int:
    """Events in a block.

    It depends on the frames and the settings alone, neither on the number of workers nor
    on how many events there are, so that any two runs cut a file alike, also one that is
    still growing.

    Parameters
    ----------
    settings : SortSettings
        The bounds.
    event_bytes : int
        Bytes that are read of one event.
    """
    event_bytes = max(1, event_bytes)
    wanted = max(_SMALL_BLOCK, _BLOCK_BYTES // event_bytes)
    fitting = max(1, settings.block_bytes // event_bytes)
    return min(settings.block_events, wanted, fitting)


@dataclass(frozen=True)
class WatchSettings(Settings):
    """Settings of `watch`; none of them changes a decision."""

    poll: float = setting(
        2.0, "Time between two looks for new events", unit="s", minimum=0.05, maximum=3600.0
    )
    settle: float = setting(
        10.0,
        "A file that stayed as it is for so long is taken as finished, for the time being",
        unit="s",
        minimum=0.0,
        maximum=86400.0,
    )
    idle: float | None = setting(
        None, "Stop when nothing changed for so long; never when omitted", unit="s", minimum=0.0
    )
