"""What a user can set when sorting."""

from __future__ import annotations

from dataclasses import dataclass

from napari_xfelsort.core.settings import Settings, setting

#: A short stack is cut into about this many blocks, so that all workers have work ...
_WANTED_BLOCKS = 32
#: ... but not into blocks so small that starting them costs more than their events.
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


def events_per_block(settings: SortSettings, n_events: int, event_bytes: int) -> int:
    """Events in a block.

    It depends on the stack and the settings alone, not on the number of workers, so
    that any two runs cut the stack alike.

    Parameters
    ----------
    settings : SortSettings
        The bounds.
    n_events : int
        Events in the stack.
    event_bytes : int
        Bytes that are read of one event.
    """
    wanted = max(_SMALL_BLOCK, -(-n_events // _WANTED_BLOCKS))
    fitting = max(1, settings.block_bytes // max(1, event_bytes))
    return min(settings.block_events, wanted, fitting)
