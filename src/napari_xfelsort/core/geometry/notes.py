"""What is worth telling of a geometry file that can be read: one sentence a kind."""

from __future__ import annotations


class Notes:
    """Collects warnings; the same one of many lines is told once, with its count."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plain: list[str] = []
        self._counted: dict[str, list[int]] = {}

    def add(self, what: str) -> None:
        """A clause of its own."""
        self._plain.append(what)

    def _count(self, what: str, line: int) -> None:
        self._counted.setdefault(what, []).append(line)

    def retired(self, key: str, line: int) -> None:
        """A key that CrystFEL no longer uses."""
        self._count(f"{key} is retired and ignored", line)

    def unknown(self, key: str, line: int) -> None:
        """A key that nobody knows."""
        self._count(f"{key} is not a known key and is ignored", line)

    def trailing(self, key: str, rest: str, line: int) -> None:
        """Text after a value; nothing is told when there is none."""
        if rest:
            self._count(f"text after the value of {key} is ignored", line)

    def panel_clen(self, line: int) -> None:
        """A camera length given for one panel, as before CrystFEL 0.11."""
        self._count("clen is given for a panel, as CrystFEL before 0.11 did, and is used", line)

    def mask_without_data(self, number: int, line: int) -> None:
        """Bits of a mask without its path, for the panel first named in a line."""
        self._count(
            f"mask {number} has bits but no path and is not used; CrystFEL refuses it", line
        )

    def doubled_axis(self, axis: str, line: int) -> None:
        """Several axes of the data are ss, or fs, for the panel first named in a line."""
        self._count(f"several dim lines name {axis}; the last is it, the others are events", line)

    def sentences(self) -> tuple[str, ...]:
        """All warnings, each a sentence that names the file."""
        counted = [
            f"line {lines[0]}: {what}"
            + (f" ({len(lines)} times in all)" if len(lines) > 1 else "")
            for what, lines in self._counted.items()
        ]
        return tuple(f"{self._name}, {what}." for what in (*counted, *self._plain))
