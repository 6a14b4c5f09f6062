"""One module a file layout; turns files into event sources."""
