"""The load generator: a process of its own that speaks every dialect as cheaply as it can, checks every answer and counts."""

from benchmarks.load.order import Measurement, Order
from benchmarks.load.processor import cpu_seconds

__all__ = ["Measurement", "Order", "cpu_seconds"]
