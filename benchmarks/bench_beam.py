"""Photon energy and camera length from single frames and from ten: how near, by flux.

    python benchmarks/bench_beam.py [--events 20] [--flux 1e12 1e11 ...] [--data ../shared/data]

Frames of an EIGER 4M with 4 x 4 pixels joined, energies from 6 to 8 keV and camera lengths from
150 to 350 mm: jets, air, intensity, ice (12 % of the frames) and streaks (15 %) differ from
frame to frame, 60 % have a crystal. Values may lie between 4 and 20 keV, 50 and 1000 mm unless
``--narrow`` is given. Told are medians of the errors, the share of frames of which both are
known with a standard error of 5 %, the share of values beyond three standard errors, and the
milliseconds of the processor for the frame (one thread; photons into cells, and the fit).
``--classes 315 189`` learns from so many frames which of the nine settings of the CXLS set (6, 7,
8 keV, 150, 250, 350 mm) it is, and judges that and the choice by the scattering curves on others.
With the reference stacks of CrystFEL's pattern_sim (``--data``), each level is one row.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_xfelsort.core.beam import (
    BeamClass,
    BeamEstimate,
    BeamSettings,
    CellLayout,
    estimate_beam,
    train_beam_classes,
)
from napari_xfelsort.core.beam.choosing import choose_class
from napari_xfelsort.core.beam.estimate import estimate_and_fit
from napari_xfelsort.core.simulate.frames import HC
from napari_xfelsort.core.simulate.sfx import SfxMaker, SfxSimulationSettings

FLUXES = (1e12, 1e11, 3e10, 1e10, 3e9, 1e9, 3e8)
CLASSES = tuple(BeamClass(e, d) for e in (6000.0, 7000.0, 8000.0) for d in (0.15, 0.25, 0.35))
STACKS = (("set05_7keV_250mm", 7000.0, 0.25), ("set07_6keV_350mm", 6000.0, 0.35))


class Tally:
    """Errors of some estimates."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []

    def add(self, found: BeamEstimate, energy: float, length: float) -> None:
        """One estimate, and the truth."""
        off = abs(found.energy - energy), 1e3 * abs(found.length - length)
        sigma = found.energy_error, 1e3 * found.length_error
        beyond = max(o / s if s > 0 else 0.0 for o, s in zip(off, sigma, strict=True))
        self.rows.append((*off, found.energy_known and found.length_known, beyond > 3))

    def told(self) -> str:
        """In four columns."""
        rows = np.array(self.rows, float)
        off = np.nan_to_num(rows[:, :2], nan=np.inf)
        energy, length = np.median(off, axis=0)
        return (
            f"{energy:7.0f} eV {length:8.2f} mm   known {rows[:, 2].mean():4.0%}   "
            f"beyond 3 {rows[:, 3].mean():4.0%}"
        )


def simulated(flux: float, n: int, together: int, settings: BeamSettings, seed: int) -> None:
    """Rows of one flux."""
    free, known_energy, known_length, several = (Tally() for _ in range(4))
    plan = SfxSimulationSettings(n_events=n, binning=4, seed=seed, flux=(flux,), continuous=True)
    maker = SfxMaker(plan)
    layout = CellLayout(maker.panels.geometry)
    bad = maker.response.hidden.reshape(layout.raw_shape)
    spent = np.zeros(2)
    for i in range(n):
        event = maker.event(i)
        energy, length = HC / event.pulse.wavelength, event.camera_length
        begin = time.process_time()
        counts = layout.count(event.frame, bad)
        counted = time.process_time()
        free.add(estimate_beam(counts, settings), energy, length)
        if i:  # compiled by then
            spent += counted - begin, time.process_time() - counted
        with_energy = dataclasses.replace(settings, known_energy=energy)
        known_energy.add(estimate_beam(counts, with_energy), energy, length)
        with_length = dataclasses.replace(settings, known_length=1e3 * length)
        known_length.add(estimate_beam(counts, with_length), energy, length)
    ms = 1e3 * spent / max(1, n - 1)
    print(f"{flux:.0e}  one frame       {free.told()}   {ms[0]:.0f} + {ms[1]:.0f} ms")
    print(f"{flux:.0e}  energy known    {known_energy.told()}")
    print(f"{flux:.0e}  length known    {known_length.told()}")
    random = np.random.default_rng(seed)
    for k in range(max(1, n // 3)):
        energy, length = random.uniform(6000, 8000), random.uniform(150, 350)
        of_run = dataclasses.replace(
            plan,
            n_events=together,
            run=k + 2,
            continuous=False,
            photon_energy=(energy,),
            camera_length=(length,),
        )
        maker = SfxMaker(of_run)
        counts = [layout.count(maker.event(i).frame, bad) for i in range(together)]
        several.add(estimate_beam(counts, settings), energy, 1e-3 * length)
    print(f"{flux:.0e}  {together:2d} frames       {several.told()}", flush=True)


def by_class(learn: int, judge: int, seed: int, settings: BeamSettings) -> None:
    """Which of the nine settings of the CXLS set it is, by flux."""
    layouts: list[CellLayout] = []

    def frames(n: int, seed: int) -> tuple[list[Any], list[Any], Any]:
        maker = SfxMaker(SfxSimulationSettings(n_events=n, binning=4, seed=seed))
        layouts.append(layouts[0] if layouts else CellLayout(maker.panels.geometry))
        bad = maker.response.hidden.reshape(layouts[0].raw_shape)
        counts = [layouts[0].count(maker.event(i).frame, bad) for i in range(n)]
        lengths = np.round(maker.plan.camera_length, 3)
        return counts, list(zip(maker.plan.photon_energy, lengths, strict=True)), maker.plan.level

    model = train_beam_classes(*frames(learn, seed)[:2])
    counts, truth, levels = frames(judge, seed + 1)
    rows: dict[str, Any] = {"curves": [], "learnt": []}
    for each, own in zip(counts, truth, strict=True):
        _, fit = estimate_and_fit(each, settings)
        choices = {"learnt": model.choose(each)}
        if fit is not None:
            choices["curves"] = choose_class(fit, CLASSES)
        for name, told in rows.items():
            choice = choices.get(name)
            right = choice is not None and np.allclose(choice.best, own)
            told.append((right, choice is not None and choice.sure))
    for name, told in rows.items():
        for level, flux in enumerate(FLUXES):
            right, sure = np.array(told)[levels == level].T
            known = f"{right[sure].mean():4.0%}" if sure.any() else "  - "
            print(
                f"{flux:.0e}  {name}: right {right.mean():4.0%}, sure {sure.mean():4.0%}, "
                f"of these right {known}"
            )


def reference(folder: Path, settings: BeamSettings) -> None:
    """The two stacks, level by level."""
    from napari_xfelsort.core.beam import EventBeam
    from napari_xfelsort.readers import open_stack

    for name, energy, length in STACKS:
        stack = open_stack(str(folder / f"{name}.cxi"), geometry=str(folder / "eiger4m.geom"))
        levels, jets = _labels(folder / f"{name}.cxi")
        work = EventBeam(stack)
        counts = [work.look(i, peaks=False).counts for i in range(len(stack))]
        for level in range(7):
            own = [counts[i] for i in np.flatnonzero((levels == level) & jets)]
            tally, chosen = Tally(), []
            for each in own:
                found, fit = estimate_and_fit(each, settings)
                tally.add(found, energy, length)
                if fit is not None:
                    chosen.append(choose_class(fit, CLASSES))
            right = [np.allclose(each.best, (energy, length)) for each in chosen]
            sure = [each.sure for each in chosen]
            print(f"{name} level {level}: one frame  {tally.told()}")
            print(f"    class: right {sum(right)} of {len(own)}, sure {sum(sure)}", end="")
            print(f", of these right {sum(np.array(right) & np.array(sure))}")
            for told, given in (
                ("together", settings),
                ("energy known", dataclasses.replace(settings, known_energy=energy)),
                ("length known", dataclasses.replace(settings, known_length=1e3 * length)),
            ):
                print(f"    {told}: {estimate_beam(own, given).told()}", flush=True)


def _labels(path: Path) -> tuple[Any, Any]:
    import h5py

    with h5py.File(path) as file:
        return file["labels/level"][()], file["labels/nojet"][()] == 0


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--together", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flux", type=float, nargs="*", default=FLUXES)
    parser.add_argument("--narrow", action="store_true", help="5.5-8.5 keV, 130-380 mm")
    parser.add_argument("--classes", type=int, nargs=2, metavar=("LEARN", "JUDGE"))
    parser.add_argument("--data", type=Path, help="folder of the reference stacks")
    args = parser.parse_args()
    settings = BeamSettings()
    if args.narrow:
        settings = BeamSettings(
            photon_energy_range=(5500.0, 8500.0), camera_length_range=(130.0, 380.0)
        )
    for flux in args.flux:
        simulated(flux, args.events, args.together, settings, args.seed)
    if args.classes:
        by_class(*args.classes, args.seed, settings)
    if args.data is not None:
        reference(args.data / "sfx", settings)


if __name__ == "__main__":
    main()
