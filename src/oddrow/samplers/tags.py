"""Tags by which imbalanced-learn knows a sampler; its own classes are not needed for that."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from sklearn.utils import InputTags, Tags


@dataclass(slots=True)
class SamplerInput(InputTags):  # type: ignore[misc]
    """What a sampler takes: frames too."""

    dataframe: bool = True


@dataclass(slots=True)
class Sampling:
    """Whether a sampler tells which rows it chose; one that makes rows does not."""

    sample_indices: bool = False


@dataclass(slots=True)
class SamplerTags(Tags):  # type: ignore[misc]
    """scikit-learn's tags of an estimator, and that it is a sampler."""

    sampler_tags: Sampling = field(default_factory=Sampling)
    _skip_test: bool = False

    @classmethod
    def of(cls, tags: Any) -> SamplerTags:
        """The tags that scikit-learn gives, as a sampler's whose rows may have categories and missing values."""
        given = {tag.name: getattr(tags, tag.name) for tag in fields(Tags)}
        given |= {"estimator_type": "sampler", "input_tags": SamplerInput(allow_nan=True, categorical=True)}
        made = cls(**given)
        made.target_tags.required = True
        return made
