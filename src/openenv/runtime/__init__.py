"""Sessions, worlds and the pipeline that leads to them."""

from openenv.runtime.manager import SessionManager
from openenv.runtime.pipeline import Pipeline
from openenv.runtime.session import Session, SessionRequest
from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["EnvironmentSpecification", "Pipeline", "Session", "SessionManager", "SessionRequest"]
