"""`python -m device_agents.runtime`."""

from device_agents.runtime.cli import main

main()
