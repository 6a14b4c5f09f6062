"""What can be chosen when a model is trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.features import FeatureSettings
from napari_xfelsort.core.settings import setting

MODELS = ("logistic_regression", "k_nearest_neighbours", "decision_tree", "random_forest")
_KINDS: dict[str, Any] = {
    "int": int,
    "int | None": (int, type(None)),
    "float": (int, float),
}
THRESHOLD_RULES = ("default", "max_f1", "high_recall")


@dataclass(frozen=True)
class TrainSettings(FeatureSettings):
    """How a model is trained, and from which features. Shares are fractions: 0.3 is 30 %."""

    model: str = setting("random_forest", "algorithm", choices=MODELS)
    train_share: float = setting(
        0.7, "share of the labelled events to train with", minimum=0.01, maximum=0.99
    )
    test_share: float = setting(
        0.3, "share of the labelled events to test with", minimum=0.01, maximum=0.99
    )
    split: str = setting(
        "auto",
        "what is kept on one side of train and test: events, or whole files (auto: files where "
        "there are enough)",
        choices=("auto", "event", "file"),
    )
    threshold: str | float = setting(
        "default",
        "probability from which the first class is chosen: default, max_f1, high_recall, or a "
        "number between 0 and 1",
    )
    recall: float = setting(0.95, "recall that high_recall keeps", minimum=1e-6, maximum=1.0)
    class_weight: str = setting(
        "balanced",
        "whether rare classes count as much as common ones",
        choices=("none", "balanced"),
    )
    seed: int = setting(0, "equal seeds give equal models", minimum=0, maximum=2**32 - 1)
    n_estimators: int = setting(100, "trees of a random forest", minimum=1, maximum=10_000)
    max_depth: int | None = setting(
        None, "greatest depth of a tree; unlimited when not given", minimum=1
    )
    n_neighbors: int = setting(5, "neighbours that k-nearest neighbours asks", minimum=1)
    C: float = setting(
        1.0, "inverse strength of the regularisation of logistic regression", minimum=1e-9
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_numbers()
        self.threshold_number()
        total = self.train_share + self.test_share
        if abs(total - 1) > 1e-9:
            raise SettingsError(
                f"The shares to train and to test with, {100 * self.train_share:g} % and "
                f"{100 * self.test_share:g} %, add to {100 * total:g} %; they must add to 100 %."
            )

    def _check_numbers(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = _KINDS.get(str(field.type))
            if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise SettingsError(f"{field.name} is {value!r} but must be a number.")

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
