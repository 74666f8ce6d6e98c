"""Environments of a server as Gymnasium's: ``pip install "openenv[gymnasium]"``.

`GymEnv` is a ``gymnasium.Env`` over one session, `GymVectorEnv` a ``gymnasium.vector.VectorEnv`` whose environments are
stepped in one frame. `Spaces` says how an environment's actions and observations are values of Gymnasium's spaces;
`derived` makes one from the fields of their types. Nothing else in the package loads Gymnasium or NumPy.
"""

from __future__ import annotations

try:
    import gymnasium
except ImportError as error:
    raise ImportError('The adapters need Gymnasium: pip install "openenv[gymnasium]"') from error
else:
    del gymnasium

from openenv.client.gymnasium.derivation import derived
from openenv.client.gymnasium.env import GymEnv
from openenv.client.gymnasium.spaces import Spaces
from openenv.client.gymnasium.vector import GymVectorEnv

__all__ = ["GymEnv", "GymVectorEnv", "Spaces", "derived"]
