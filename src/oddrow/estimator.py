"""`Estimator`: scikit-learn's base class with the types it lacks, and with parts that may be None.

scikit-learn ships no types, so to a type checker a class that inherits from it has every attribute there is, misspelt
ones too. Checkers therefore see the declarations below; Python sees scikit-learn's own classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sklearn.base import clone

from oddrow.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    class BaseEstimator:
        """Parameters by name."""

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def get_metadata_routing(self) -> Any: ...
        def __sklearn_tags__(self) -> Any: ...

    class OutlierMixin:
        """Estimators that tell outliers from inliers."""

        def fit_predict(self, X: Any, y: Any = None, **fit_params: Any) -> npt.NDArray[np.int64]:
            """Fit to X, then return -1 for its outliers and 1 for its inliers."""
            ...

    class OneToOneFeatureMixin:
        """Estimators that return the columns they were given."""

        def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
            """Return the names of the columns."""
            ...

else:
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, OutlierMixin

__all__ = ["Estimator", "OneToOneFeatureMixin", "OutlierMixin"]


class Estimator(BaseEstimator):
    """An estimator whose nested parameters can be set before the part they belong to is given."""

    n_features_in_: int

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones by their path.

        Parameters
        ----------
        **params : dict
            Values by name. A nested one, such as `training__epochs=3`, changes that part of the estimator; where the
            part is None, it is set to the default that None stands for and then changed.

        Returns
        -------
        Estimator
            The estimator itself.

        Raises
        ------
        ParameterError
            If there is no such parameter. Nothing is changed then.
        """
        plain = {name: value for name, value in params.items() if "__" not in name}
        nested = {path: value for path, value in params.items() if "__" in path}
        parts = self._parts_to_change(plain, nested)
        super().set_params(**{**plain, **parts})
        return super().set_params(**nested)

    def _parts_to_change(self, plain: dict[str, Any], nested: dict[str, Any]) -> dict[str, Any]:
        """Return the parts that nested parameters belong to; raise `ParameterError` for a name that does not exist."""
        values, parts = self.get_params(deep=False), {}
        for path in (*plain, *nested):
            if (name := path.partition("__")[0]) not in values:
                raise ParameterError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {sorted(values)}."
                )
        values.update(plain)
        defaults = type(self)(**values)._default_parts() if nested else {}
        for path, value in nested.items():
            name, _, inner = path.partition("__")
            parts[name] = part = defaults.get(name) if values[name] is None else values[name]
            if not hasattr(part, "set_params"):
                raise ParameterError(f"Invalid parameter {path!r} for {self}: {name}={part!r} has no parameters.")
            try:
                clone(part).set_params(**{inner: value})
            except ValueError as error:
                raise ParameterError(str(error)) from error
        return parts

    def _copy(self, **changes: Any) -> Self:
        """Return an unfitted copy with some parameters changed."""
        return type(self)(**{**self.get_params(deep=False), **changes})

    def _default_parts(self) -> dict[str, Any]:
        """Return what None stands for, by the parameter that may be None."""
        return {}
