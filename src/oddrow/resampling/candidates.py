"""The classifiers and samplers that `oddrow compare` tries by default."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from oddrow.errors import ParameterError

# Module, class and parameters: LightGBM would print a line for every tree.
BOOSTERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "XGBoost": ("xgboost", "XGBClassifier", {}),
    "LightGBM": ("lightgbm", "LGBMClassifier", {"verbosity": -1}),
}

N_NYSTROEM = 300


def default_classifiers(seed: int) -> dict[str, Any]:
    """Return six scikit-learn classifiers to compare; XGBoost and LightGBM too if installed.

    Parameters
    ----------
    seed : int
        Random seed.

    Returns
    -------
    dict of str to classifier
        Classifiers by the names that tables show, with their default parameters. The SVM is linear on 300 Nystroem
        features of the RBF kernel: the cost of an exact one grows with the square of the rows.

    Examples
    --------
    >>> "random forest" in default_classifiers(seed=0)
    True
    """
    return {
        "logistic regression": LogisticRegression(max_iter=2000),
        "k nearest neighbours": KNeighborsClassifier(n_jobs=-1),
        "SVM": make_pipeline(Nystroem(n_components=N_NYSTROEM, random_state=seed), LinearSVC(random_state=seed)),
        "decision tree": DecisionTreeClassifier(random_state=seed),
        "random forest": RandomForestClassifier(n_jobs=-1, random_state=seed),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed),
        **{
            name: getattr(import_module(module), kind)(random_state=seed, **parameters)
            for name, (module, kind, parameters) in BOOSTERS.items()
            if find_spec(module)
        },
    }


NOTHING = "nothing"

CLASS_WEIGHTS = "class weights"


def default_samplers(seed: int, sampling_strategy: Any = "auto") -> dict[str, Any]:
    """Return samplers to compare: none, class weights and four of imbalanced-learn.

    Parameters
    ----------
    seed : int
        Random seed.
    sampling_strategy : str, float, dict or callable
        As in imbalanced-learn; a float is minority / majority afterwards, for under-sampling too.

    Returns
    -------
    dict of str to sampler
        Samplers by the names that tables show, as `compare` takes them.

    Raises
    ------
    ParameterError
        If imbalanced-learn is not installed.

    Examples
    --------
    >>> list(default_samplers(seed=0))
    ['nothing', 'class weights', 'under-sampling', 'over-sampling', 'SMOTE', 'ADASYN']
    """
    try:
        from imblearn.over_sampling import ADASYN, SMOTE, RandomOverSampler
        from imblearn.under_sampling import RandomUnderSampler
    except ImportError as error:
        raise ParameterError(
            "comparing samplers needs imbalanced-learn. Install it with pip install 'oddrow[compare]'."
        ) from error
    same = {"sampling_strategy": sampling_strategy, "random_state": seed}
    return {
        NOTHING: None,
        CLASS_WEIGHTS: CLASS_WEIGHTS,
        "under-sampling": RandomUnderSampler(**same),
        "over-sampling": RandomOverSampler(**same),
        "SMOTE": SMOTE(**same),
        "ADASYN": ADASYN(**same),
    }
