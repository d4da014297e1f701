"""The resamplers of imbalanced-learn (extra `compare`), and what stands in for one: nothing, class weights."""

from __future__ import annotations

from typing import Any

from oddrow.errors import ParameterError

NOTHING = "nothing"
CLASS_WEIGHTS = "class weights"


def usual_samplers(seed: int, sampling_strategy: Any = "auto") -> dict[str, Any]:
    """Nothing, class weights and imbalanced-learn's four, by the names that tables show.

    `sampling_strategy` as in imbalanced-learn; of under-sampling too it says what is minority / majority afterwards.
    Raises `ParameterError` where imbalanced-learn is not installed.
    """
    try:
        from imblearn.over_sampling import ADASYN, SMOTE, RandomOverSampler
        from imblearn.under_sampling import RandomUnderSampler
    except ImportError as error:
        raise ParameterError("comparing samplers needs imbalanced-learn: pip install 'oddrow[compare]'.") from error
    same = {"sampling_strategy": sampling_strategy, "random_state": seed}
    return {
        NOTHING: None,
        CLASS_WEIGHTS: CLASS_WEIGHTS,
        "under-sampling": RandomUnderSampler(**same),
        "over-sampling": RandomOverSampler(**same),
        "SMOTE": SMOTE(**same),
        "ADASYN": ADASYN(**same),
    }
