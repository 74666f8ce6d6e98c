"""``python -m openenv.cli`` is the command too."""

from openenv.cli import main

main()
