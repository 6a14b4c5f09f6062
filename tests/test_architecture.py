"""The house's rules: direction of imports, size and documentation of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_xfelsort

SOURCE = Path(napari_xfelsort.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
GUI = ("napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "superqt", "vispy")
HEAVY = ("sklearn", "matplotlib", "numba", "distributed", "dask", "torch", "scipy.optimize")

#: Endings of modules that are imported where they run: made of dask, or compiled loops.
LAZY = ("core.browsed_array", "_loops")

#: Imports every module of a room while the given packages cannot be imported, then
#: prints which of the heavy ones came along.
IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Absent())
room = importlib.import_module("napari_xfelsort.{room}")
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if not module.name.endswith({lazy!r}):
        importlib.import_module(module.name)
print(",".join(name for name in {heavy!r} if name in sys.modules))
"""


def room_of(path: Path) -> str:
    """core, readers, widgets, or cli for what lies beside them."""
    parts = path.relative_to(SOURCE).parts
    if len(parts) > 1:
        return parts[0]
    return "cli" if "cli" in path.stem else "top"


def imported_names(path: Path) -> set[str]:
    """Dotted names of all that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import in line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for name in imported_names(path):
        package, _, rest = name.partition(".")
        if package != "napari_xfelsort" or not rest:
            continue
        first = rest.partition(".")[0]
        rooms.add("cli" if "cli" in first else first)
    return rooms


def run_import_all(room: str, blocked: tuple[str, ...]) -> str:
    code = IMPORT_ALL.format(room=room, blocked=set(blocked), heavy=HEAVY, lazy=LAZY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("core", {"readers", "widgets", "cli"}),
        ("readers", {"widgets", "cli"}),
        ("widgets", {"cli"}),
    ],
)
def test_imports_go_one_way(room, forbidden):
    for path in MODULES:
        if room_of(path) == room:
            back = rooms_imported(path) & forbidden
            assert not back, f"{path.relative_to(SOURCE)} imports {', '.join(sorted(back))}"


@pytest.mark.parametrize("room", ["core", "readers"])
def test_science_and_reading_need_no_screen_and_load_nothing_heavy(room):
    assert run_import_all(room, GUI) == ""


def test_qt_is_imported_through_qtpy_only():
    for path in MODULES:
        direct = {n for n in imported_names(path) if n.startswith(("PyQt", "PySide"))}
        assert not direct, f"{path.relative_to(SOURCE)} imports {direct}; use qtpy"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_module_is_short_documented_and_has_modern_annotations(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450, "split the module"
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "say in a docstring what the module is for"
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body):
        assert "from __future__ import annotations" in text


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_public_names_are_documented(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not missing
