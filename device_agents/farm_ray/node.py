"""One Ray node in processes of its own: `python -m device_agents.farm_ray.node start ...`.

Ray takes the address of the network for 127.0.0.1 and then listens to all networks. A farm that is
meant for this computer alone stays on it: here, 127.0.0.1 is left as it is.
"""

import functools
import sys


def main() -> None:
    """Ray's own command line, with the words of ours."""
    from ray._private import services
    from ray.scripts.scripts import main as command_line

    # The nodes of a head that died still name it; they end by themselves, seconds later.
    services.find_gcs_addresses = functools.cache(frozenset)
    if "--node-ip-address=127.0.0.1" in sys.argv:
        services.resolve_ip_for_localhost = lambda host: host
        services.get_node_ip_address = lambda address=None: "127.0.0.1"  # noqa: ARG005
    sys.argv[0] = "ray"
    command_line()


if __name__ == "__main__":
    main()
