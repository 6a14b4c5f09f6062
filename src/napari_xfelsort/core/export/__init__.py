"""Selected events as files for other programs: virtual, copied, as lists, as a table."""

from __future__ import annotations

from napari_xfelsort.core.export.exporting import ExportSettings, ExportSummary, export

__all__ = ["ExportSettings", "ExportSummary", "export"]
