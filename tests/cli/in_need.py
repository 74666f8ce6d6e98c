"""A module that needs what is not installed."""

from __future__ import annotations

import importlib

importlib.import_module("nobody_has_this")
