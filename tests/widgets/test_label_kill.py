"""The program is killed while somebody labels; what was labelled is there, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from label_user import labels_on_disk

from programs import program

LABELLER = """
import sys
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_xfelsort.readers import open_stack
from napari_xfelsort.widgets.label_dock import LabelDock
from napari_xfelsort.widgets.layers import Opened, run_layers
from napari_xfelsort.widgets.runs import runs_of

app = QApplication([])
viewer = ViewerModel()
run = runs_of(viewer).add(run_layers(open_stack(sys.argv[1]), Opened((sys.argv[1],))))
dock = LabelDock(viewer)
run.shown.connect(lambda i: print(i, flush=True))
while True:
    app.processEvents()
    if dock.job is None and not dock._painted.isActive():
        dock.carry_out("good" if run.current % 2 == 0 else "bad")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_and_resumed(own, open_run, user):
    command = [sys.executable, "-c", LABELLER, own.data]
    with program(*command, stdout=subprocess.PIPE, text=True) as child:
        shown = [int(child.stdout.readline()) for _ in range(4)]
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert shown == [1, 2, 3, 4]
    run = open_run(own.data, own.geometry)
    user.settle()
    kept = labels_on_disk(run)
    expected = {f"//{i}": ("good", "bad")[i % 2] for i in range(8)}
    assert len(kept) >= 4  # each was on disk before the next event showed
    assert kept == {name: expected[name] for name in list(expected)[: len(kept)]}
    assert user.reads("total") == f"{len(kept)} of 8 labelled"
    if len(kept) < 8:
        user.click("next_unlabelled")
        assert run.current == len(kept)
