"""The science and the data model; knows no Qt, no napari and no file layout."""
