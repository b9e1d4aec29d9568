"""`python -m device_agents.native`: builds the runner and prints its path."""

from device_agents.native.build import build

if __name__ == "__main__":
    print(build())
