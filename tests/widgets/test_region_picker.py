"""Choosing a region by clicks in the picture, shapes, q and text."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QLineEdit, QPushButton

from napari_xfelsort.core.errors import RegionError
from napari_xfelsort.core.geometry import Geometry
from napari_xfelsort.core.polygons import ellipse_polygon
from napari_xfelsort.core.profiles import Profiler, ProfileSettings
from napari_xfelsort.core.region import Region
from napari_xfelsort.widgets.region_picker import RegionPicker
from napari_xfelsort.widgets.runs import runs_of


@pytest.fixture
def picker(viewer, qtbot):
    made = RegionPicker(runs_of(viewer))
    qtbot.addWidget(made)
    made.show()
    yield made
    made.release()


@pytest.fixture
def ready(picker, run):
    """A picker for the simulated run."""
    picker.set_run(run)
    return picker


def choose(picker, name):
    box = picker.findChild(QComboBox, "region_way")
    box.setCurrentIndex(box.findText(name))


def allowed(picker):
    box = picker.findChild(QComboBox, "region_way")
    return {box.itemText(k) for k in range(box.count()) if box.model().item(k).isEnabled()}


def middle(run, panel):
    """World position of the middle of a panel."""
    return tuple(run.layer.data_to_world((0, *run.stack.geometry.outlines()[panel].mean(axis=0))))


def press(viewer, position, *modifiers):
    """A click as napari tells it to the viewer's callbacks."""
    event = SimpleNamespace(position=position, modifiers=list(modifiers), type="mouse_press")
    for callback in list(viewer.mouse_drag_callbacks):
        callback(viewer, event)


def outlined(viewer):
    found = [layer for layer in viewer.layers if layer.name.startswith("chosen panels")]
    return list(found[0].data) if found else []


def pixels(region, run):
    found = region.resolve(run.stack.raw_shape, run.stack.geometry)
    inside = np.zeros(run.stack.raw_shape, bool)
    inside[found.window] = True if found.inside is None else found.inside
    return inside


# --- arithmetic of the core --------------------------------------------------------------


def test_the_picture_and_the_laboratory_by_hand():
    geometry = Geometry.single_panel((10, 20), 1e-4, beam_center=(3, 5))
    corners = geometry.grid.laboratory([[0, 0], [3, 5], [9, 19], [0.5, 5]])
    expected = [[-5e-4, 3e-4], [0, 0], [14e-4, -6e-4], [0, 2.5e-4]]
    np.testing.assert_allclose(corners, expected, atol=1e-12)
    back = geometry.grid.picture(corners)
    np.testing.assert_allclose(back, [[0, 0], [3, 5], [9, 19], [0.5, 5]], atol=1e-9)


def test_points_of_the_picture_lie_where_the_geometry_says(run):
    geometry = run.stack.geometry
    x, y, _ = geometry.positions()
    ss, fs = np.meshgrid(*(np.arange(n) for n in geometry.raw_shape), indexing="ij")
    points = geometry.picture_points(fs.ravel().astype(float), ss.ravel().astype(float))
    shown = np.isfinite(points).all(axis=1)
    laboratory = geometry.grid.laboratory(points[shown])
    off = np.hypot(laboratory[:, 0] - x.ravel()[shown], laboratory[:, 1] - y.ravel()[shown])
    assert off.max() < 0.75 * np.sqrt(2) * geometry.pixel_size


def test_corners_of_an_ellipse_lie_on_it():
    corners = ellipse_polygon([[0, 0], [0, 8], [4, 8], [4, 0]], 100)
    assert len(corners) == 100
    np.testing.assert_allclose(((corners - [2, 4]) / [2, 4]) ** 2 @ [1, 1], 1)
    turned = ellipse_polygon([[0, -2], [2, 0], [0, 2], [-2, 0]])
    np.testing.assert_allclose(np.hypot(*turned.T), np.sqrt(2))


def test_names_of_panels_are_expanded_each_once(run):
    geometry = run.stack.geometry
    first = next(iter(geometry.panels))
    region = Region.from_panels([first, "*"])
    assert region.panel_names(geometry) == list(geometry.panels)
    with pytest.raises(RegionError, match="no panel 'q9'"):
        Region.from_panels(["q9"]).panel_names(geometry)


# --- what is offered ---------------------------------------------------------------------


def test_without_a_run_it_is_the_whole_frame(picker):
    assert picker.region() == Region()
    assert allowed(picker) == {"whole frame", "text"}


def test_all_is_offered_when_all_is_known(ready):
    assert len(allowed(ready)) == 5
    assert not ready.findChild(QLabel, "region_hint").isVisible()


def test_without_a_geometry_a_hint_says_what_to_do(picker, open_run, simulated):
    picker.set_run(open_run(simulated.data))
    assert allowed(picker) == {"whole frame", "text"}
    assert "need a geometry" in picker.findChild(QLabel, "region_hint").text()
    choose(picker, "text")
    picker.findChild(QLineEdit, "region_text").setText("window:0:4,1:3")
    assert picker.region() == Region.raw_window([slice(0, 4), slice(1, 3)])
    with pytest.raises(RegionError, match="geometry"):
        picker.set_region(Region.parse("panel:p0"))


def test_q_needs_energy_and_distance(picker, open_run, tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/data_1/data"] = np.ones((3, 8, 6), np.int16)
        file["entry_1/instrument_1/detector_1/data"] = np.ones((3, 8, 6), np.int16)
    geometry = Geometry.single_panel((8, 6), 1e-4)
    geometry.to_crystfel(tmp_path / "a.geom")
    picker.set_run(open_run(tmp_path / "a.cxi", tmp_path / "a.geom"))
    assert allowed(picker) == {"whole frame", "panels", "shapes on the picture", "text"}
    assert "photon energy" in picker.findChild(QLabel, "region_hint").text()


def test_a_way_that_is_no_longer_allowed_is_left(ready, open_run, simulated):
    choose(ready, "q range")
    ready.set_run(open_run(simulated.data))
    assert ready.region() == Region()


# --- panels ------------------------------------------------------------------------------


def test_a_click_adds_the_panel_and_another_takes_it_away(ready, run, viewer, qtbot):
    panels = list(run.stack.geometry.panels)
    choose(ready, "panels")
    before = list(viewer.mouse_drag_callbacks)
    button = ready.findChild(QPushButton, "region_pick")
    for panel in (panels[0], panels[3]):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert button.isChecked()
        press(viewer, middle(run, panel))
        assert not button.isChecked()
        assert viewer.mouse_drag_callbacks == before
    assert ready.region() == Region.from_panels([panels[0], panels[3]])
    outlines = run.stack.geometry.outlines()
    for drawn, panel in zip(outlined(viewer), (panels[0], panels[3]), strict=True):
        np.testing.assert_allclose(drawn, outlines[panel], atol=1e-4)
    assert viewer.layers.selection.active is run.layer
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    press(viewer, middle(run, panels[0]))
    assert ready.region() == Region.from_panels([panels[3]])


def test_a_click_follows_a_layer_that_was_moved_and_scaled(ready, run, viewer, qtbot):
    run.layer.scale = (1, 2, 3)
    run.layer.translate = (0, 10, -7)
    panel = list(run.stack.geometry.panels)[2]
    choose(ready, "panels")
    qtbot.mouseClick(ready.findChild(QPushButton, "region_pick"), Qt.MouseButton.LeftButton)
    press(viewer, middle(run, panel))
    assert ready.region() == Region.from_panels([panel])


def test_a_click_beside_the_panels_is_waited_on(ready, run, viewer, qtbot):
    choose(ready, "panels")
    button = ready.findChild(QPushButton, "region_pick")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    press(viewer, (0, -50, -50))
    assert button.isChecked()
    with pytest.raises(RegionError, match="Pick a panel"):
        ready.region()


def test_shift_goes_on_and_escape_ends(ready, run, viewer, qtbot):
    panels = list(run.stack.geometry.panels)[:3]
    choose(ready, "panels")
    bound, callbacks = dict(viewer.keymap), list(viewer.mouse_drag_callbacks)
    button = ready.findChild(QPushButton, "region_pick")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    for panel in panels:
        press(viewer, middle(run, panel), "Shift")
    assert ready.region() == Region.from_panels(panels)
    assert button.isChecked()
    (escape,) = (function for key, function in viewer.keymap.items() if key not in bound)
    escape(viewer)
    assert not button.isChecked()
    assert viewer.mouse_drag_callbacks == callbacks
    assert viewer.keymap == bound


@pytest.mark.parametrize("how", ["button", "way", "run", "geometry", "closed", "release"])
def test_nothing_waits_for_a_click_any_more(ready, run, viewer, qtbot, how):
    from napari_xfelsort.widgets.layers import run_layers

    choose(ready, "panels")
    before = list(viewer.mouse_drag_callbacks)
    button = ready.findChild(QPushButton, "region_pick")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    if how == "button":
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    elif how == "way":
        choose(ready, "whole frame")
    elif how == "run":
        ready.set_run(None)
    elif how == "geometry":
        run.replace(run_layers(run.stack, run.opened))
    elif how == "closed":
        viewer.layers.clear()
        ready.set_run(None)
    else:
        ready.release()
        runs_of(viewer).layers_changed.connect(ready._list_layers)
    assert viewer.mouse_drag_callbacks == before
    assert not button.isChecked()


def test_names_and_patterns_can_be_typed(ready, run, viewer):
    panels = list(run.stack.geometry.panels)
    choose(ready, "panels")
    line = ready.findChild(QLineEdit, "region_panels")
    line.setText(" * ")
    assert len(outlined(viewer)) == len(panels)
    assert pixels(ready.region(), run).sum() == run.stack.geometry.covered.sum()
    line.setText(f"{panels[0]}, nonsense")
    assert len(outlined(viewer)) == 1
    with pytest.raises(RegionError, match="nonsense"):
        ready.region()
    choose(ready, "whole frame")
    assert not outlined(viewer)
    assert ready.region() == Region()


def test_outlines_return_with_another_geometry_and_leave_with_the_dock(ready, run, viewer):
    from napari_xfelsort.widgets.layers import run_layers

    choose(ready, "panels")
    ready.set_region(Region.from_panels(list(run.stack.geometry.panels)[:1]))
    run.replace(run_layers(run.stack, run.opened))
    assert len(outlined(viewer)) == 1
    ready.set_run(None)
    assert not outlined(viewer)


# --- shapes ------------------------------------------------------------------------------


def test_a_rectangle_around_a_panel_is_the_panel(ready, run, viewer, qtbot):
    panel = list(run.stack.geometry.panels)[1]
    choose(ready, "shapes on the picture")
    qtbot.mouseClick(ready.findChild(QPushButton, "region_new_layer"), Qt.MouseButton.LeftButton)
    layer = viewer.layers[-1]
    assert layer.mode == "add_rectangle"
    assert viewer.layers.selection.active is layer
    with pytest.raises(RegionError, match="draw one"):
        ready.region()
    corners = run.stack.geometry.outlines()[panel]
    layer.add_rectangles([corners.min(axis=0) - 1, corners.max(axis=0) + 1])
    expected = pixels(Region.from_panels([panel]), run)
    assert (pixels(ready.region(), run) == expected).all()


def test_shapes_are_taken_in_the_laboratory_by_pixel_centres(ready, run, viewer):
    geometry = run.stack.geometry
    layer = viewer.add_shapes(
        [np.array([[80, 60], [80, 150], [190, 120]])], shape_type="polygon", name="mine"
    )
    layer.add_ellipses([[210, 210], [20, 30]])
    choose(ready, "shapes on the picture")
    box = ready.findChild(QComboBox, "region_layer")
    box.setCurrentIndex(box.findText("mine"))
    # The oracle: pixel centres, in pixels from the beam, against the shapes' own equations.
    x, y, _ = geometry.positions()
    column = geometry.beam_position[1] + x / geometry.pixel_size
    row = geometry.beam_position[0] - y / geometry.pixel_size
    ellipse = ((row - 210) / 20) ** 2 + ((column - 210) / 30) ** 2
    left = 60 + (row - 80) * 60 / 110
    right = 150 - (row - 80) * 30 / 110
    triangle = (row > 80) & (row < 190) & (column > left) & (column < right)
    found = pixels(ready.region(), run)
    assert triangle.sum() > 1000
    assert (ellipse < 1).sum() > 1000
    sure = (ellipse < 0.98) | (ellipse > 1.02)
    assert (found == ((ellipse < 1) | triangle))[sure].all()


def test_a_layer_that_was_moved_counts_where_it_is_seen(ready, run, viewer):
    panel = list(run.stack.geometry.panels)[1]
    corners = run.stack.geometry.outlines()[panel]
    box = np.array([corners.min(axis=0) - 1, corners.max(axis=0) + 1])
    run.layer.scale = (1, 2, 2)
    layer = viewer.add_shapes([(box * 2 - 30) / 4], shape_type="rectangle")
    layer.scale, layer.translate = (4, 4), (30, 30)
    choose(ready, "shapes on the picture")
    assert (pixels(ready.region(), run) == pixels(Region.from_panels([panel]), run)).all()


def test_lines_and_paths_are_as_wide_as_their_edge(ready, run, viewer):
    geometry = run.stack.geometry
    layer = viewer.add_shapes(
        [np.array([[80.3, 60.2], [150.7, 190.1]])], shape_type="line", edge_width=6, name="mine"
    )
    layer.add_paths([np.array([[200, 60], [200, 200], [260, 250]])], edge_width=0.2)
    choose(ready, "shapes on the picture")
    # The oracle: distances of pixel centres, in pixels of the picture.
    x, y, _ = geometry.positions()
    column = geometry.beam_position[1] + x / geometry.pixel_size
    row = geometry.beam_position[0] - y / geometry.pixel_size
    wanted = np.zeros(x.shape, bool)
    unsure = np.zeros(x.shape, bool)
    for (r0, c0), (r1, c1), width in (
        ((80.3, 60.2), (150.7, 190.1), 6),
        ((200, 60), (200, 200), 1),
        ((200, 200), (260, 250), 1),
    ):
        length = np.hypot(r1 - r0, c1 - c0)
        along = ((row - r0) * (r1 - r0) + (column - c0) * (c1 - c0)) / length
        along = np.clip(along, 0, length) / length
        away = np.hypot(row - r0 - along * (r1 - r0), column - c0 - along * (c1 - c0))
        wanted |= away <= width / 2
        unsure |= np.abs(away - width / 2) < 0.005 * width
    found = pixels(ready.region(), run)
    assert wanted.sum() > 600
    assert (found == wanted)[~unsure].all()
    again = Region.from_dict(json.loads(json.dumps(ready.region().to_dict())))
    assert again == ready.region()


TURNED = """\
res = 10000
data = /entry_1/data_1/data
dim0 = %
dim1 = ss
dim2 = fs
a/min_fs = 0
a/max_fs = 39
a/min_ss = 0
a/max_ss = 29
a/corner_x = 5
a/corner_y = -3
a/fs = 0.8x +0.6y
a/ss = -0.6x +0.8y
"""


def test_a_line_along_a_row_of_a_panel_that_is_turned(picker, open_run, viewer, tmp_path):
    import h5py

    frames = np.random.default_rng(1).integers(0, 500, (3, 30, 40)).astype(np.int16)
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/data_1/data"] = frames
    (tmp_path / "a.geom").write_text(TURNED)
    run = open_run(tmp_path / "a.cxi", tmp_path / "a.geom")
    picker.set_run(run)
    row, column = run.stack.geometry.beam_position

    def place(fs, ss):  # (y, x) in the picture of the centre of a pixel
        fs, ss = fs + 0.5, ss + 0.5
        return [row - (-3 + 0.6 * fs + 0.8 * ss), column + 5 + 0.8 * fs - 0.6 * ss]

    line = np.array([place(4, 12), place(33, 12)])
    viewer.add_shapes([line], shape_type="line", edge_width=1, name="mine")
    choose(picker, "shapes on the picture")
    region = Region.from_dict(json.loads(json.dumps(picker.region().to_dict())))
    assert region == picker.region()
    wanted = np.zeros((30, 40), bool)
    wanted[12, 4:34] = True
    assert (pixels(region, run) == wanted).all()
    profile = Profiler(run.stack, region, ProfileSettings(axis="fs")).event(1)
    assert profile.positions.tolist() == list(range(4, 34))
    assert profile.values.tolist() == frames[1, 12, 4:34].tolist()


def test_the_width_of_a_line_counts_as_it_is_seen(ready, run, viewer):
    """On a layer that is magnified four times an edge of 2 covers eight pixels."""
    run.layer.scale = (1, 3, 3)
    line = np.array([[100, 60], [100, 90]])
    layer = viewer.add_shapes([line / 4], shape_type="line", edge_width=2)
    layer.scale = (12, 12)
    choose(ready, "shapes on the picture")
    magnified = ready.region()
    viewer.layers.remove(layer)
    plain = viewer.add_shapes([line], shape_type="line", edge_width=8)
    plain.scale = (3, 3)
    for found, expected in zip(ready.region().polygons, magnified.polygons, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    assert pixels(magnified, run).sum() > 100


def test_what_is_drawn_is_told_at_once(ready, viewer, qtbot):
    choose(ready, "shapes on the picture")
    qtbot.mouseClick(ready.findChild(QPushButton, "region_new_layer"), Qt.MouseButton.LeftButton)
    layer = viewer.layers[-1]
    with qtbot.waitSignal(ready.changed):
        layer.add_rectangles([[80, 60], [190, 150]])
    first = ready.region()
    with qtbot.waitSignal(ready.changed):
        layer.data = [np.array([[90, 60], [90, 150]])]
    assert ready.region() != first
    choose(ready, "whole frame")
    with qtbot.assertNotEmitted(ready.changed, wait=250):
        layer.add_rectangles([[80, 60], [190, 150]])


def test_layers_of_panels_and_rings_are_not_offered(ready, run, viewer):
    choose(ready, "shapes on the picture")
    box = ready.findChild(QComboBox, "region_layer")
    assert [box.itemText(k) for k in range(box.count())] == ["no Shapes layer"]
    with pytest.raises(RegionError, match="Add a region layer"):
        ready.region()
    layer = viewer.add_shapes(name="mine")
    assert box.currentText() == "mine"
    viewer.layers.remove(layer)
    assert box.currentText() == "no Shapes layer"


def test_what_was_drawn_stays_when_the_run_is_opened_anew(ready, run, viewer):
    from napari_xfelsort.widgets.layers import run_layers

    choose(ready, "shapes on the picture")
    ready.set_region(Region.from_polygons([[[0, 0], [1e-2, 0], [0, 1e-2]]]))
    before = ready.region()
    run.replace(run_layers(run.stack, run.opened))
    assert ready.region() == before


def test_polygons_can_be_shown_again(ready, run):
    given = Region.from_polygons([[[0, 0], [1e-2, 0], [0, 1e-2]], [[0, 0], [-1e-3, 0], [0, -1]]])
    ready.set_region(given)
    shown = ready.region()
    for found, expected in zip(shown.polygons, given.polygons, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-7)


# --- q and text --------------------------------------------------------------------------


def test_a_range_of_q(ready, qtbot):
    choose(ready, "q range")
    ready.findChild(QDoubleSpinBox, "region_q_min").setValue(0.25)
    with qtbot.waitSignal(ready.changed):
        ready.findChild(QDoubleSpinBox, "region_q_max").setValue(0.75)
    assert ready.region() == Region.q_range(0.25, 0.75)
    ready.findChild(QDoubleSpinBox, "region_q_min").setValue(0.75)
    with pytest.raises(RegionError, match="empty"):
        ready.region()


@pytest.mark.parametrize(
    "text", ["whole", "panel:p0a0,p0a1", "q:0.2,0.5", "window:0:5,1:3", "panel:p*"]
)
def test_any_region_of_text_can_be_typed_or_shown(ready, text):
    choose(ready, "text")
    ready.findChild(QLineEdit, "region_text").setText(text)
    assert ready.region() == Region.parse(text)
    ready.set_region(Region.parse(text))
    assert ready.region() == Region.parse(text)


@pytest.mark.parametrize("text", ["pannel:p0", "q:1", "window:5:1", "q:nan,1", "panel:"])
def test_text_that_is_no_region_is_an_error(ready, text):
    choose(ready, "text")
    ready.findChild(QLineEdit, "region_text").setText(text)
    with pytest.raises(RegionError):
        ready.region()
