"""One module a file layout; turns files into event sources and stacks."""

from napari_xfelsort.readers.detect import list_datasets
from napari_xfelsort.readers.opening import open_stack

__all__ = ["list_datasets", "open_stack"]
