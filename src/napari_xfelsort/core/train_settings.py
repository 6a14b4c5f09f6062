"""What can be chosen when a model is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from napari_xfelsort.core.errors import LabelError, SettingsError
from napari_xfelsort.core.features import FeatureSettings
from napari_xfelsort.core.label_journal import check_class_name
from napari_xfelsort.core.learning.calibration import METHODS
from napari_xfelsort.core.learning.grids import SEARCHES, candidates
from napari_xfelsort.core.settings import setting

#: Kinds of features that copies of events can be made of, as another beam makes them.
VARIED_KINDS = ("particle", "scattering")
#: What the model spi is, unless something else is chosen.
_SPI_KINDS, _SPI_COPIES = ("particle",), 2
#: What can be compared with one another.
ALGORITHMS = (
    "logistic_regression",
    "k_nearest_neighbours",
    "decision_tree",
    "random_forest",
    "linear_svm",
    "naive_bayes",
    "gradient_boosting",
)
#: Networks, which take settings of their own besides and need the extra ``deep``.
NETWORKS = ("spi_cnn",)
#: All that can be trained; spi is gradient boosting of what single particles are told by.
MODELS = (*ALGORITHMS, "spi", *NETWORKS)
_KINDS: dict[str, Any] = {
    "int": int,
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "bool": bool,
}
THRESHOLD_RULES = ("default", "max_f1", "high_recall", "costs")
SCORES = ("macro_f1", "accuracy", "balanced_accuracy")
SPLITS = ("auto", "event", "file", "run")


@dataclass(frozen=True)
class TrainSettings(FeatureSettings):
    """How a model is trained, and from which features. Shares are fractions: 0.3 is 30 %."""

    model: str = setting(
        "random_forest",
        "algorithm; spi_cnn is a network for single particles (extra deep)",
        choices=MODELS,
    )
    train_share: float = setting(
        0.7, "share of the labelled events to train with", minimum=0.01, maximum=0.99
    )
    test_share: float = setting(
        0.3, "share of the labelled events to test with", minimum=0.01, maximum=0.99
    )
    split: str = setting(
        "auto",
        "what is kept on one side of train and test: events, whole files, or whole runs (auto: "
        "files where there are enough)",
        choices=SPLITS,
    )
    target: str = setting(
        "", "class to tell from all others; needed where events have several classes"
    )
    threshold: str | float = setting(
        "default",
        "probability from which the first class is chosen: default, max_f1, high_recall, costs, "
        "or a number between 0 and 1",
    )
    recall: float = setting(0.95, "recall that high_recall keeps", minimum=1e-6, maximum=1.0)
    cost_false_good: float = setting(
        1.0, "for the threshold costs: cost of an event wrongly chosen as good", minimum=0
    )
    cost_lost_good: float = setting(
        1.0, "for the threshold costs: cost of a good event that is not chosen", minimum=0
    )
    unsure_margin: float = setting(
        0.0,
        "events are unsure where two classes are closer in probability than this; for two "
        "classes it is the width of the band about the threshold",
        minimum=0,
        maximum=1,
    )
    unsure_low: float | None = setting(
        None,
        "below this probability an event is not good; unsure up to unsure_high",
        minimum=0,
        maximum=1,
    )
    unsure_high: float | None = setting(
        None,
        "from this probability on an event is good; unsure down to unsure_low",
        minimum=0,
        maximum=1,
    )
    calibration: str = setting(
        "none",
        "how scores become probabilities that mean what they say; a linear SVM, which has no "
        "probabilities, takes sigmoid for none",
        choices=METHODS,
    )
    cross_validate: bool = setting(
        False, "also judge by cross-validation inside the training share"
    )
    folds: int = setting(
        5,
        "parts of the training share that cross-validation leaves out in turn",
        minimum=2,
        maximum=50,
    )
    search: str = setting(
        "none",
        "grid of parameters to try by cross-validation inside the training share: a small one, "
        "or those of the PADT and RefleX papers",
        choices=SEARCHES,
    )
    search_score: str = setting(
        "macro_f1", "what the search makes as large as it can", choices=SCORES
    )
    search_limit: int = setting(300, "fits that a search may take", minimum=1)
    class_weight: str = setting(
        "balanced",
        "whether rare classes count as much as common ones",
        choices=("none", "balanced"),
    )
    seed: int = setting(0, "equal seeds give equal models", minimum=0, maximum=2**32 - 1)
    n_estimators: int = setting(
        100, "trees of a random forest, rounds of gradient boosting", minimum=1, maximum=10_000
    )
    max_depth: int | None = setting(
        None, "greatest depth of a tree; unlimited when not given", minimum=1
    )
    n_neighbors: int = setting(5, "neighbours that k-nearest neighbours asks", minimum=1)
    augmented: int | None = setting(
        None,
        "copies of each event that trains, with fewer photons, more background, and another "
        "place of the beam and size of the particle; for particle and scattering features "
        "(automatic: 2 for the model spi, else none)",
        minimum=0,
        maximum=50,
    )
    C: float = setting(
        1.0,
        "inverse strength of the regularisation of logistic regression and linear SVM",
        minimum=1e-9,
    )
    learning_rate: float = setting(
        0.1,
        "share of each round's correction that gradient boosting takes",
        minimum=1e-4,
        maximum=1.0,
    )
    var_smoothing: float = setting(
        1e-9,
        "share of the largest variance that naive Bayes adds to all variances",
        minimum=0,
        maximum=1e3,
    )
    workers: int | None = setting(
        None,
        "processes that read the labelled events; automatic when not given",
        minimum=0,
        maximum=1024,
    )
    cache: bool = setting(
        True, "keep the features on disk, so that training again on these events reads no frame"
    )

    def __post_init__(self) -> None:
        if self.model == "spi" and tuple(self.kinds) == ("pixels",):
            object.__setattr__(self, "kinds", _SPI_KINDS)
        super().__post_init__()
        self._check_numbers()
        if self.augmented and not set(self.kinds) <= set(VARIED_KINDS):
            raise SettingsError(
                "Copies as of another beam (augmented) are for features of the kinds "
                f"{' and '.join(VARIED_KINDS)} alone, not for {', '.join(self.kinds)}."
            )
        self.threshold_number()
        total = self.train_share + self.test_share
        if abs(total - 1) > 1e-9:
            raise SettingsError(
                f"The shares to train and to test with, {100 * self.train_share:g} % and "
                f"{100 * self.test_share:g} %, add to {100 * total:g} %; they must add to 100 %."
            )
        if self.target:
            try:
                check_class_name(self.target)
            except LabelError as error:
                raise SettingsError(f"The target {self.target!r} is no class: {error}") from error
        self._check_band()
        self._check_search()

    def _check_numbers(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = _KINDS.get(str(field.type))
            wrong = kind is not None and not isinstance(value, kind)
            if wrong or (kind is not bool and kind is not None and isinstance(value, bool)):
                what = "yes or no" if kind is bool else "a number"
                raise SettingsError(f"{field.name} is {value!r} but must be {what}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(f"{field.name} is {value!r} but must be a number.")
        if self.threshold == "costs" and self.cost_false_good == self.cost_lost_good == 0:
            raise SettingsError("Both costs are 0; one of the two mistakes must cost something.")

    def _check_band(self) -> None:
        low, high = self.unsure_low, self.unsure_high
        if low is None and high is None:
            return
        if self.unsure_margin:
            raise SettingsError(
                "Give unsure_margin, or unsure_low and unsure_high, but not both ways of saying "
                "what is unsure."
            )
        if low is not None and high is not None and low > high:
            raise SettingsError(
                f"unsure_low is {low:g} and unsure_high {high:g}; the first must not be larger."
            )

    def _check_search(self) -> None:
        fits = self.search_fits
        if fits > self.search_limit:
            raise SettingsError(
                f"The search {self.search} of {self.model.replace('_', ' ')} tries "
                f"{fits // self.folds} sets of parameters on {self.folds} parts: {fits} fits, and "
                f"search_limit allows {self.search_limit}. Choose the search small, or allow "
                f"{fits} if that much time is to be spent."
            )

    @property
    def search_fits(self) -> int:
        """Fits that the search takes; 0 without one.

        Raises
        ------
        SettingsError
            If the search has no grid for the algorithm.
        """
        if self.search == "none":
            return 0
        return len(candidates(self.search, self.model)) * self.folds

    @property
    def copies(self) -> int:
        """Copies of each event that trains."""
        if self.augmented is not None:
            return self.augmented
        suits = self.model == "spi" and set(self.kinds) <= set(VARIED_KINDS)
        return _SPI_COPIES if suits else 0

    @property
    def needs_out_of_fold(self) -> bool:
        """Whether each event of the training share is judged by models that did not see it."""
        chosen_rule = self.threshold_number() is None and self.threshold != "default"
        return chosen_rule or self.cross_validate or self.calibration_method != "none"

    @property
    def calibration_method(self) -> str:
        """How scores become probabilities, for this algorithm."""
        if self.model == "linear_svm" and self.calibration == "none":
            return "sigmoid"
        return self.calibration

    @property
    def planned_fits(self) -> int:
        """Fits of a training in all: of the search, of cross-validation, and the last one."""
        return self.search_fits + self.folds * self.needs_out_of_fold + 1

    def threshold_number(self) -> float | None:
        """The threshold where it is given as a number, None where it is a rule.

        Raises
        ------
        SettingsError
            If it is neither.
        """
        if self.threshold in THRESHOLD_RULES:
            return None
        try:
            number = float(self.threshold)
        except ValueError:
            number = -1.0
        if not 0 < number < 1:
            raise SettingsError(
                f"threshold is {self.threshold!r} but must be one of "
                f"{', '.join(THRESHOLD_RULES)}, or a number between 0 and 1."
            )
        return number

    @property
    def features(self) -> FeatureSettings:
        """The part that says what the features are."""
        names = [field.name for field in dataclasses.fields(FeatureSettings)]
        return FeatureSettings(**{name: getattr(self, name) for name in names})
