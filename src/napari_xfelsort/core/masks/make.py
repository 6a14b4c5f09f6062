"""`make_mask`: a bad-pixel mask from stacks or arrays of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.estimators import usable_cores
from napari_xfelsort.core.mask import PixelMask, Reason
from napari_xfelsort.core.masks.frames import Frames
from napari_xfelsort.core.masks.grouping import groups_of
from napari_xfelsort.core.masks.made import MadeMask
from napari_xfelsort.core.masks.making import Collector, Inputs, Look, ordinary_sample
from napari_xfelsort.core.masks.modules import Module, Unit, modules_of, units_of
from napari_xfelsort.core.masks.running import run_looks
from napari_xfelsort.core.masks.settings import MaskSettings, MaskSource
from napari_xfelsort.core.masks.shadow import find_shadow, light_of

if TYPE_CHECKING:
    from napari_xfelsort.core.geometry import Geometry
    from napari_xfelsort.core.stack import EventStack


def make_mask(
    dark: EventStack | NDArray[Any] | None = None,
    bright: EventStack | NDArray[Any] | None = None,
    gain: Sequence[EventStack | NDArray[Any]] = (),
    geometry: Geometry | None = None,
    bad: PixelMask | NDArray[np.bool_] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    ordinary: EventStack | NDArray[Any] | None = None,
    groups: NDArray[Any] | Mapping[str, Any] | str | None = None,
    per_group: bool = False,
    processes: int = 0,
    scheduler: str | None = None,
    partial: Callable[[MadeMask, tuple[str, ...]], None] | None = None,
    **settings: Any,
) -> MadeMask:
    """Make a bad-pixel mask from dark frames, bright ones, or both; or from ordinary runs.

    Parameters
    ----------
    dark, bright : EventStack, or ndarray of shape (frames, ...raw shape), optional
        Frames without X-rays, and frames in which the light is smooth: no Bragg peaks that
        stay at one place. Memory does not grow with their number.
    gain : sequence of the same, optional
        Gain indicators of each gain stage, the stage of lowest values first.
    geometry : Geometry, optional
        Its panels are looked at one by one; that of the stack when omitted.
    bad : PixelMask or ndarray of bool, raw shape, optional
        Bad pixels to begin with (True, or not 0); those of the stack come to them.
    workers : int, optional
        Threads; by default one a core. The mask does not depend on it.
    progress : callable, optional
        Called with frames done and frames in all; may raise to stop.
    ordinary : EventStack or ndarray, optional
        Frames of ordinary runs, for detectors without dark ones. Of at most
        ``ordinary_frames`` of them, evenly spread, each pixel's mean and deviation without
        the least and largest tenth of its values are compared with its neighbours'. That
        finds pixels that never change, are hot or cold, change unusually much or hardly, or
        are mostly saturated. It cannot tell a bad pixel from one in light that stays (a Bragg
        peak or ice ring in most frames, the edge of a shadow), sees neither gain stages nor
        what only dark frames show, and tells little where most pixels count nothing in most
        frames.
    groups : ndarray of int, mapping of them, or "cell", optional
        Group of each frame, such as memory cell or gain stage; frames of each group are
        judged by themselves, and a pixel that is bad in one is bad. A mapping has an array
        for each of ``dark``, ``bright`` and ``ordinary`` that is given, and for ``gain`` a
        sequence of them, one a stage. "cell": the memory cell that the files tell.
    per_group : bool
        Keep the mask of each group, see `MaskGroups.reasons`.
    processes : int
        Worker processes of this computer that read modules and groups of stacks in parallel;
        0 to work in this one. Arrays are worked on here. The mask does not depend on it.
    scheduler : str, optional
        Address of a dask scheduler to use instead.
    partial : callable, optional
        Called with the mask so far and the names of the panels that were finished, in the
        calling thread; may raise to stop. Modules that storage keeps apart are finished one
        by one, with all their groups; others together, after each kind of frames or group.
    **settings
        Fields of `MaskSettings`.

    Returns
    -------
    MadeMask
        ``reasons`` (uint8, raw shape, bits of `MaskReason`), ``bad``, and the features.

    Raises
    ------
    SettingsError
        If no frames are given, frames differ in shape, groups do not fit, or a setting is
        out of range.
    ClusterError
        If processes cannot be started, or the scheduler not be reached.
    """
    chosen = MaskSettings.from_dict(settings)
    inputs = _inputs(dark, bright, gain, ordinary)
    stacks = [
        each
        for each in (dark, bright, *gain, ordinary)
        if each is not None and not isinstance(each, np.ndarray)
    ]
    shape = inputs.given()[0].raw_shape
    if geometry is None:
        geometry = next((s.geometry for s in stacks if s.geometry is not None), None)
    geometry = None if geometry is None else geometry.fit(shape)
    modules = modules_of(shape, geometry)
    units = units_of(shape, modules, all(each.apart(modules) for each in inputs.given()))
    labels, members = groups_of(groups, inputs)
    members = [_sampled(each, units, chosen.ordinary_frames) for each in members]
    n_ordinary = sum(len(each.ordinary or ()) for each in members)
    sources = _sources(shape, chosen, modules, geometry, bad, stacks)
    hidden = sources != 0
    shadow = np.zeros(shape, bool)
    if chosen.shadow and (inputs.bright or inputs.ordinary):
        shadow = _shadow(inputs, units, hidden, geometry)
        sources[shadow] |= np.uint8(MaskSource.SHADOW)
    looks = [
        Look(unit, each, chosen, hidden[unit.window], k, shadow[unit.window])
        for unit in units
        for k, each in enumerate(members)
    ]
    collector = Collector(
        shape, chosen, sources, len(inputs.dark or ()), n_ordinary, labels, per_group
    )
    threads = workers or usable_cores()
    run_looks(looks, collector, threads, processes, scheduler, progress, partial)
    return collector.mask()


def _inputs(
    dark: EventStack | NDArray[Any] | None,
    bright: EventStack | NDArray[Any] | None,
    gain: Sequence[EventStack | NDArray[Any]],
    ordinary: EventStack | NDArray[Any] | None,
) -> Inputs:
    named = {"dark": dark, "bright": bright, "ordinary": ordinary}
    frames = {name: Frames.of(each) for name, each in named.items() if each is not None}
    stages = [Frames.of(each) for each in gain]
    if not frames and not stages:
        raise SettingsError(
            "A mask is made from dark frames, bright frames or both, or from ordinary runs; "
            "give some."
        )
    for name, each in (*frames.items(), *((f"gain stage {k}", s) for k, s in enumerate(stages))):
        if not len(each):
            raise SettingsError(f"There are no {name} frames.")
    every = (*frames.values(), *stages)
    for each in every:
        if each.raw_shape != every[0].raw_shape:
            raise SettingsError(
                f"Frames of {every[0].raw_shape} were expected, not of {each.raw_shape}."
            )
    return Inputs(gain=tuple(stages), **frames)


def _sampled(inputs: Inputs, units: Sequence[Unit], wanted: int) -> Inputs:
    if inputs.ordinary is None:
        return inputs
    return inputs.with_ordinary(ordinary_sample(inputs.ordinary, units, wanted))


def _shadow(
    inputs: Inputs, units: Sequence[Unit], hidden: NDArray[np.bool_], geometry: Geometry | None
) -> NDArray[np.bool_]:
    """Shadows in a sample of the frames; found first, so that no fit has pixels of them."""
    frames = inputs.bright or inputs.ordinary
    assert frames is not None
    light = light_of(frames, units, ordinary=inputs.bright is None)
    if inputs.dark is not None:
        light -= light_of(inputs.dark, units)
    return find_shadow(light, hidden, geometry)


def _sources(
    shape: tuple[int, ...],
    settings: MaskSettings,
    modules: Sequence[Module],
    geometry: Geometry | None,
    bad: PixelMask | NDArray[np.bool_] | None,
    stacks: Sequence[EventStack],
) -> NDArray[np.uint8]:
    """Why pixels are not looked at: bits of `MaskSource`."""
    sources = np.zeros(shape, np.uint8)

    def add(where: NDArray[np.bool_], source: MaskSource) -> None:
        sources[where] |= np.uint8(source)

    if bad is not None:
        given = bad if isinstance(bad, np.ndarray) else bad.bad
        if given.shape != shape:
            raise SettingsError(f"The mask is of {given.shape}, frames are of {shape}.")
        add(given.astype(bool), MaskSource.USER)
    of_geometry = None if geometry is None else geometry.static_mask()
    for mask in (of_geometry, *(stack.mask for stack in stacks)):
        if mask is not None:
            for reason, source in SOURCE_OF_REASON.items():
                add(mask.reasons & np.uint8(reason) != 0, source)
            # Anybody may give a stack a mask whose bits mean something else.
            add(mask.reasons & ~np.uint8(sum(SOURCE_OF_REASON)) != 0, MaskSource.USER)
    edge = settings.edge
    for module in modules if edge else ():
        for tile in module.tiles.values():
            outer = np.ones(sources[module.place][tile].shape, bool)
            outer[edge:-edge, edge:-edge] = False
            sources[module.place][tile] |= np.where(outer, np.uint8(MaskSource.EDGE), np.uint8(0))
    return sources


#: Who gave a pixel that the mask of a stack calls bad.
SOURCE_OF_REASON = {
    Reason.FILE | Reason.VALUE: MaskSource.DATA_FILE,
    Reason.GEOMETRY: MaskSource.GEOMETRY,
    Reason.USER: MaskSource.USER,
}
