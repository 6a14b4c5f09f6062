"""Networks for single particles from the command line: train, sort."""

from __future__ import annotations

import pytest

from napari_xfelsort.core.labels import LabelStore
from napari_xfelsort.core.simulate.spi import simulate_spi
from napari_xfelsort.readers import open_stack


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A small run and its labels."""
    folder = tmp_path_factory.mktemp("single")
    run = simulate_spi(
        folder, n_events=40, side=48, hole=3, gap=2, diameter=140, single=1, blank=2, wrong_size=0
    )
    stack = open_stack([str(run.data)], geometry=run.geometry)
    store = LabelStore(folder / "labels")
    for i, name in enumerate(run.names):
        store.set(stack.event_id(i), name)
    stack.close()
    return run, folder / "labels"


def test_options_of_networks_need_the_network(cli, single):
    run, labels = single
    base = ["train", run.data, "-g", run.geometry, "-l", labels, "-o", "net.xfelmodel"]
    done = cli(*base, "--preset", "more_sh")
    assert done.exit_code == 1
    assert "add --model spi_cnn" in done.output
    done = cli(*base, "--model", "spi_cnn", "--compare")
    assert done.exit_code == 1
    assert "all but networks" in done.output
    done = cli(*base, "--model", "spi_cnn", "--preset", "best")
    assert done.exit_code != 0


def test_networks_are_trained_and_sort(cli, single, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch (extra deep) is not installed")
    torch.set_num_threads(1)
    monkeypatch.setenv("XFELSORT_CACHE", str(tmp_path / "cache"))
    run, labels = single
    data = [run.data, "-g", run.geometry]
    options = (
        "--model spi_cnn --target single --parts 2 --epochs 1 --batch 8 --device cpu --cell 2"
    )
    done = cli("train", *data, "-l", labels, "-o", "net.xfelmodel", *options.split())
    assert done.exit_code == 0, done.output
    assert "Training 2 networks (cpu recipe, pictures of 25 x 24, 50 steps of 8) takes" in (
        " ".join(done.output.split())
    )
    assert "max f1 on the training share" in done.output
    done = cli("sort", *data, "-m", "net.xfelmodel", "-o", "sorted", "--workers", "0")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "sorted" / "single.lst").is_file()
