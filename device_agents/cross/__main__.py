"""`python -m device_agents.cross`."""

from device_agents.cross.cli import main

main()
