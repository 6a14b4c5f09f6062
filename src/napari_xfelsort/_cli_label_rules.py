"""``xfelsort label`` by rules: a number for each event, and a range of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from napari_xfelsort.cli_progress import progress
from napari_xfelsort.cli_support import Status, plural, say, table, tell_problems
from napari_xfelsort.core.errors import LabelError

if TYPE_CHECKING:
    from napari_xfelsort.core.event_scores import ScoreSettings
    from napari_xfelsort.core.labels import LabelStore
    from napari_xfelsort.core.stack import EventStack


def _option(metavar: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=text)


PeaksOption = Annotated[
    str | None,
    _option(
        "MIN:MAX", "By the number of stored peaks; MIN, MIN:, :MAX or MIN:MAX, ends included."
    ),
]
MeanOption = Annotated[str | None, _option("MIN:MAX", "By the mean of the region (ADU).")]
PercentileOption = Annotated[
    str | None, _option("P=MIN:MAX", "By a percentile of the region (ADU), as 99=2000:.")
]
SaturatedOption = Annotated[
    str | None, _option("ADU=MIN:MAX", "By the number of pixels of the region above a value.")
]
MetadataOption = Annotated[
    str | None, _option("NAME=MIN:MAX", "By a number stored with each event.")
]
RuleOption = Annotated[
    str | None,
    typer.Option("--rule", metavar="NAME", help="Name of the rule; peaks, mean ... if omitted."),
]
WithdrawOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Take all labels of a rule back.")
]


class ScoreRange(NamedTuple):
    """A score, what it needs to know, and the range of it that a rule asks for."""

    kind: str
    parameter: str
    low: float
    high: float


def asked_ranges(options: Mapping[str, str | None]) -> list[ScoreRange]:
    """The rules that options ask for, by kind of score.

    Raises
    ------
    LabelError
        If a range has another form.
    """
    return [parse_range(kind, text) for kind, text in options.items() if text is not None]


def parse_range(kind: str, text: str) -> ScoreRange:
    """The range of an option: ``MIN:MAX``, or ``PARAMETER=MIN:MAX``.

    Raises
    ------
    LabelError
        If the text has another form.
    """
    needs = kind not in ("peaks", "mean")
    parameter, equals, ends = text.rpartition("=")
    low, _, high = ends.partition(":")
    try:
        if bool(equals) != needs or (needs and not parameter) or not (low or high):
            raise ValueError
        if kind in ("percentile", "saturated"):
            float(parameter)
        return ScoreRange(kind, parameter, float(low or -math.inf), float(high or math.inf))
    except ValueError:
        form = "WHAT=MIN:MAX" if needs else "MIN:MAX"
        raise LabelError(
            f"--by-{kind} {text!r} is no range; write {form}, and leave out one end where there "
            "is none (20: or :20)."
        ) from None


def _score(wanted: ScoreRange) -> ScoreSettings:
    from napari_xfelsort.core.event_scores import ScoreSettings

    if wanted.kind == "percentile":
        return ScoreSettings(wanted.kind, percentile=float(wanted.parameter))
    if wanted.kind == "saturated":
        return ScoreSettings(wanted.kind, saturation=float(wanted.parameter))
    return ScoreSettings(wanted.kind, column=wanted.parameter)


def label_by_rule(
    store: LabelStore,
    stack: EventStack,
    wanted: ScoreRange,
    name: str | None = None,
    region: str | None = None,
    good_inside: bool = True,
    relabel: bool = False,
) -> Status:
    """Label events good or bad by a range, and say what was done.

    Raises
    ------
    XfelsortError
        Of any kind, as a sentence.
    """
    from napari_xfelsort.core.event_scores import event_scores
    from napari_xfelsort.core.label_rules import LabelRule, apply_rule

    settings = _score(wanted)
    labels = ("good", "bad") if good_inside else ("bad", "good")
    rule = LabelRule(name or wanted.kind, wanted.low, wanted.high, *labels, str(settings))
    tell_problems(stack.problems)
    with progress("Looking at events") as report:
        scores = event_scores(stack, settings, region, report)
    done = apply_rule(store, stack, scores.values, rule, relabel)
    say(f"Labelled by {rule.source} into {store.folder} (labeller {store.labeller}):")
    say(f"  {rule.note}")
    say(table(("class", "events"), done.counts.items()))
    if done.kept:
        say(f"Labelled by hand and left so: {plural(done.kept, 'event')}.")
    if done.undecided:
        say(f"Undecided: {plural(done.undecided, 'event')}.")
    tell_problems(list(dict.fromkeys(scores.failed.values())))
    return Status.SOME_FAILED if stack.problems or scores.failed else Status.DONE


def withdraw_rule(store: LabelStore, name: str) -> Status:
    """Take all labels of a rule back, and say how many.

    Raises
    ------
    LabelError
        If there is no such rule, or this cannot be stored.
    """
    from napari_xfelsort.core.label_journal import RULE
    from napari_xfelsort.core.label_rules import withdraw

    source = name if name.startswith(RULE) else RULE + name
    say(f"Took back {plural(withdraw(store, source), 'label')} of {source} in {store.folder}.")
    return Status.DONE
