"""Folders of labelled pictures, with tables as they come."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_xfelsort.core.anomalies.dataset import (
    anomaly_of,
    read_centers,
    read_labelled_pictures,
    read_picture,
)
from napari_xfelsort.core.anomalies.names import ANOMALIES
from napari_xfelsort.core.errors import LabelError, UnreadableFileError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train").mkdir()
    for k in range(4):
        picture = np.full((6, 8), 10 * k, np.uint8)
        picture[0, 0] = 255
        where = tmp_path / "train" if k < 2 else tmp_path
        Image.fromarray(picture).save(where / f"run_{k}.png")
    return tmp_path


def write(folder, text, name="labels.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_a_column_for_each_class(folder):
    write(
        folder,
        "Image Name,Ice Ring,loop-scattering,Non-uniform detector,site\n"
        "run_0.png,1,0,no,APS\nrun_1,0,yes,1.0,APS\nrun_2.png,,0,0,APS\nrun_7.png,1,1,1,APS\n",
    )
    found = read_labelled_pictures(folder)
    assert [p.name for p in found.paths] == ["run_0.png", "run_1.png", "run_2.png"]
    assert found.class_names == ("loop_scattering", "ice_ring", "non_uniform_detector")
    assert found.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    said = [problem.what for problem in found.problems]
    assert "Columns not understood: site." in said
    assert any("1 of 4 pictures are not there: run_7.png" in what for what in said)


def test_rows_of_several_raters_are_averaged(folder):
    table = write(
        folder,
        "file;ice;diffuse\nrun_0;1;0.333\nrun_0;1;0.667\nrun_0;0;0\nrun_1;0;1\nrun_1;x9;2\n",
    )
    found = read_labelled_pictures(folder, table)
    assert found.class_names == ("diffuse_scattering", "ice_ring")
    assert found.scores == pytest.approx(np.array([[1 / 3, 2 / 3], [0.5, 0]]))
    assert found.labels.tolist() == [[False, True], [True, False]]
    assert any("'x9', '2'" in problem.what for problem in found.problems)


def test_a_column_of_tags(folder):
    write(folder, "image,tags\nrun_3.png,ice_ring artifact\nrun_1.png,clean\nrun_0.png,loop|odd\n")
    found = read_labelled_pictures(folder)
    assert found.class_names == ("loop_scattering", "artifact", "ice_ring")
    assert found.labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert any("'odd'" in problem.what for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Strong Background", "strong_background"),
        ("bg_ring", "background_ring"),
        ("DIFFUSE_SCATTERING", "diffuse_scattering"),
        ("artefacts", "artifact"),
        ("ice-rings", "ice_ring"),
        ("Non-uniform detector response", "non_uniform_detector"),
        ("crystal", None),
        ("", None),
    ],
)
def test_words_for_classes(text, name):
    assert anomaly_of(text) == name
    assert {anomaly_of(each) for each in ANOMALIES} == set(ANOMALIES)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("image,site\nrun_0,APS\n", "No column"),
        ("image,ice\n", "no rows"),
        ("", "no rows"),
        ("image,ice\nabsent,1\n", "None of the 1 pictures"),
    ],
)
def test_unusable_tables(folder, text, what):
    write(folder, text)
    with pytest.raises(LabelError, match=what):
        read_labelled_pictures(folder)


def test_which_table(folder, tmp_path):
    with pytest.raises(LabelError, match="0 tables"):
        read_labelled_pictures(folder)
    write(folder, "image,ice\nrun_0,1\n", "a.csv")
    write(folder, "image,ice\nrun_0,0\n", "b.csv")
    with pytest.raises(LabelError, match="2 tables"):
        read_labelled_pictures(folder)
    assert read_labelled_pictures(folder, folder / "b.csv").labels.tolist() == [[False]]
    with pytest.raises(LabelError, match="no folder"):
        read_labelled_pictures(tmp_path / "none")
    (folder / "c.csv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(LabelError, match="cannot be read"):
        read_labelled_pictures(folder, folder / "c.csv")


def test_pictures_are_read_with_many_counts_large(folder):
    values = read_picture(folder / "train" / "run_1.png")
    assert values.shape == (6, 8)
    assert values[0, 0] == 0
    assert values[1, 1] == 245
    assert read_picture(folder / "train" / "run_1.png", inverted=False)[1, 1] == 10
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    Image.fromarray(deep).save(folder / "deep.png")
    assert np.array_equal(read_picture(folder / "deep.png", inverted=False), deep)
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"broken\.png"):
        read_picture(folder / "broken.png")


def test_centers(folder):
    table = write(folder, "image,col,row\nrun_0.png,204,255.5\nrun_1.png,a,b\n", "centers.csv")
    assert read_centers(table) == {"run_0": (255.5, 204.0)}
    with pytest.raises(LabelError, match="row and column"):
        read_centers(write(folder, "image,u,v\nrun_0,1,2\n", "other.csv"))
