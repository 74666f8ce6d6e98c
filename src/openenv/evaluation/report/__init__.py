"""Showing a run: a table on the terminal, and one HTML file that needs nothing else."""

from openenv.evaluation.report.page import render_page
from openenv.evaluation.report.terminal import print_summary

__all__ = ["print_summary", "render_page"]
