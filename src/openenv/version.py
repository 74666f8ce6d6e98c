"""The version of the package; the changelog's newest heading must name the same."""

__version__ = "0.11.0"
