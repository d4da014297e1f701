"""Export of a detector and its encoder to one ONNX model, and the check that both give the same scores."""

from oddrow.export.onnx_model import input_columns, to_onnx
from oddrow.export.parity import N_PARITY_ROWS, check_packages, check_parity

__all__ = ["N_PARITY_ROWS", "check_packages", "check_parity", "input_columns", "to_onnx"]
