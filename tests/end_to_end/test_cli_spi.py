"""``xfelsort simulate spi`` and ``xfelsort spi`` from a user's side."""

from __future__ import annotations

from pathlib import Path

SMALL = ("--n-events", "12", "--side", "96", "--single", "1", "--photons", "20000")


def test_a_single_particle_run_can_be_looked_at(cli):
    result = cli("simulate", "spi", "out", *SMALL)
    assert result.exit_code == 0, result.output
    assert "out/run0001.cxi (12 events)" in result.stdout
    assert f"{Path('out/truth/run0001-single.lst')} (6)" in result.stdout
    info = cli("info", "out/run0001.cxi", "--geometry", "out/run0001.geom")
    assert info.exit_code == 0, info.output
    assert "96 x 96" in info.stdout
    again = cli("simulate", "spi", "out", *SMALL)
    assert again.exit_code == 1
    assert "exists already" in again.output
