"""What napari shows: one module a dock, over the headless library."""
