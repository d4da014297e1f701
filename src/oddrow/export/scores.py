"""The score of any network, as nodes: encoded rows in, float32 (rows,) out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oddrow.errors import ParameterError
from oddrow.export.graph import Graph
from oddrow.export.networks import Rows, of_autoencoder, of_dagmm
from oddrow.export.oddrow import of_oddrow
from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.dagmm import DAGMM
from oddrow.nets.oddrow import OddRow

SCORES: dict[type[Any], Callable[[Graph, Any, Rows], str]] = {
    Autoencoder: of_autoencoder,
    DAGMM: of_dagmm,
    OddRow: of_oddrow,
}


def score(graph: Graph, network: Any, rows: Rows) -> str:
    """The score of each row (rows,). Raises `ParameterError` for a network that nobody has written down here."""
    if type(network) not in SCORES:
        known = ", ".join(kind.__name__ for kind in SCORES)
        raise ParameterError(f"a network of type {type(network).__name__} cannot be exported, only {known}.")
    return SCORES[type(network)](graph, network, rows)
