"""A detector as one ONNX model, encoder included: raw columns in, score out, and proof that both score alike."""

from oddrow.export.convert import columns_seen, to_onnx
from oddrow.export.parity import ROWS_TRIED, check_packages, check_parity

__all__ = ["ROWS_TRIED", "check_packages", "check_parity", "columns_seen", "to_onnx"]
