"""``xfelsort label``: labels by rule or from lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_xfelsort._cli_label_rules import (
    MeanOption,
    MetadataOption,
    PeaksOption,
    PercentileOption,
    RuleOption,
    SaturatedOption,
    WithdrawOption,
    asked_ranges,
    label_by_rule,
    withdraw_rule,
)
from napari_xfelsort._cli_profile import (
    Asked,
    GoodOption,
    RangesOption,
    RegionOption,
    Side,
    Wanted,
    parse_ranges,
    run_profile,
)
from napari_xfelsort.cli_options import (
    DatasetOption,
    GeometryOption,
    MaskOption,
    settings_options,
)
from napari_xfelsort.cli_support import Status, complain, guarded, plural, say, table
from napari_xfelsort.core.errors import LabelError
from napari_xfelsort.core.label_import import class_of_list
from napari_xfelsort.core.profiles.settings import ProfileSettings

if TYPE_CHECKING:
    from napari_xfelsort.core.labels import LabelStore

_SHOWN = 10


@guarded("Stopped. Labels stored so far are kept; the same command resumes.")
@settings_options(ProfileSettings)
def label(
    labels: Annotated[Path, typer.Option("--labels", "-l", help="Label folder to write to.")],
    settings: ProfileSettings,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Data that the events must be in."),
    ] = None,
    from_lists: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=FILE...",
            help="Lists of CrystFEL, PADT or Cheetah; a plain FILE means the class of its name.",
        ),
    ] = None,
    by_profile: Annotated[
        bool,
        typer.Option(
            "--by-profile", help="By the inflection points of a profile; see xfelsort profile."
        ),
    ] = False,
    by_peaks: PeaksOption = None,
    by_mean: MeanOption = None,
    by_percentile: PercentileOption = None,
    by_saturated: SaturatedOption = None,
    by_metadata: MetadataOption = None,
    rule: RuleOption = None,
    withdraw: WithdrawOption = None,
    labeller: Annotated[
        str | None, typer.Option(help="Who labels; the login name when omitted.")
    ] = None,
    region: RegionOption = None,
    geometry: GeometryOption = None,
    dataset: DatasetOption = None,
    mask: MaskOption = None,
    good: GoodOption = Side.inside,
    ranges: RangesOption = None,
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="Replace labels by hand too; a rule, also those of lists."),
    ] = False,
) -> Status:
    """Label events: --from-lists good.lst bad.lst, --by-profile, or by a rule: --by-peaks 20.

    Labels are added to the folder's journal of the labeller; the last label of an event
    counts. With data given, listed events that are not in it are told (exit status 3).
    What was labelled by hand stays so unless --relabel. The options from --region on are
    for --by-profile and rules, --relabel for lists too. A rule labels all events of the
    data; --withdraw takes its labels back.
    """
    from napari_xfelsort.core.labels import LabelStore

    rules = asked_ranges(
        {
            "peaks": by_peaks,
            "mean": by_mean,
            "percentile": by_percentile,
            "saturated": by_saturated,
            "metadata": by_metadata,
        }
    )
    if len(rules) + bool(from_lists) + by_profile + bool(withdraw) != 1:
        raise LabelError(
            "Nothing says how to label, or too much does; give one of --from-lists CLASS=FILE "
            "..., --by-profile, --by-peaks MIN or another rule, and --withdraw NAME."
        )
    if withdraw:
        return withdraw_rule(LabelStore(labels, labeller, create=False), withdraw)
    if from_lists:
        return label_from_lists(labels, labeller, from_lists, paths, relabel)
    if not paths:
        raise LabelError("Labelling by profile or rule needs the data; give PATH.")
    if rules:
        from napari_xfelsort.readers import open_stack

        stack = open_stack(paths, geometry=geometry, mask=mask, dataset=dataset)
        store = LabelStore(labels, labeller)
        return label_by_rule(store, stack, rules[0], rule, region, good is Side.inside, relabel)
    asked = Asked(paths, geometry, dataset, mask, region, settings)
    accepted = parse_ranges(ranges or [])
    return run_profile(asked, Wanted(labels, good.value, accepted, labeller, relabel))


def label_from_lists(
    labels: Path,
    labeller: str | None,
    from_lists: list[str],
    paths: list[str] | None,
    relabel: bool = False,
) -> Status:
    """Take labels from lists, and compare them with data, if there are any.

    Labels by hand stay unless ``relabel``; those of rules and other lists do not.

    Raises
    ------
    XfelsortError
        Of any kind, as a sentence.
    """
    from napari_xfelsort.core.labels import LabelStore

    lists = parse_lists(from_lists)
    store = LabelStore(labels, labeller)
    told = len(store.warnings)
    summary = store.import_lists(lists, relabel)
    for warning in store.warnings[told:]:
        complain(warning)
    say(f"Labelled from lists into {store.folder} (labeller {store.labeller}):")
    say(table(("class", "events"), summary.counts.items()))
    if summary.kept:
        say(f"Labelled by hand and left so: {plural(summary.kept, 'event')}.")
    if summary.same:
        say(f"Labelled so already: {plural(summary.same, 'event')}.")
    say(f"The folder now has {plural(len(store), 'labelled event')}.")
    return _check_events(store, paths) if paths else Status.DONE


def parse_lists(texts: list[str]) -> list[tuple[str, Path]]:
    """Class and list file of every ``CLASS=FILE`` or ``FILE``; a class may have several."""
    lists = []
    for text in texts:
        name, equals, file = text.partition("=")
        # A path may hold "=" itself; a class has no slash.
        if not equals or os.sep in name or Path(text).exists():
            name, file = class_of_list(text), text
        lists.append((name, Path(file)))
    return lists


def _check_events(store: LabelStore, paths: list[str]) -> Status:
    from napari_xfelsort.readers import open_stack

    stack = open_stack(paths)
    matched = store.match(stack)
    for problem in (*stack.problems, *matched.warnings):
        complain(str(problem))
    n = sum(label is not None for label in matched.labels)
    say(f"{n} of the {plural(len(stack), 'event')} in the data have a label.")
    # Labels of other runs may lie in the folder too; only these files are of interest.
    files = {os.path.realpath(source.path) for source in stack.sources}
    absent = [e for e in matched.unmatched if os.path.realpath(e.file) in files]
    if absent:
        complain(
            f"{plural(len(absent), 'labelled event')} not in the data: "
            f"{', '.join(map(str, absent[:_SHOWN]))}{' ...' if absent[_SHOWN:] else ''}"
        )
    return Status.SOME_FAILED if absent or stack.problems else Status.DONE
