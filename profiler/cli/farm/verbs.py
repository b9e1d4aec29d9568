"""The verbs `farm start`, `farm join`, `farm status`, `farm watch` and `farm drain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.cli.options import FormatOption, ServerOption
from search.console.app import make_app
from search.console.help import PanelCommand

if TYPE_CHECKING:
    from device_agents.farm_hosts.clients import RegistryClient
    from device_agents.farm_ray.supervise import HostPart

farm_app = make_app()
_LOOPBACK = "127.0.0.1"
AddressArgument = Annotated[str, typer.Argument(help="HOST:PORT that farm start printed.")]
SecretOption = Annotated[
    Path | None, typer.Option(help="File of the farm's secret (mode 600); default: in the cache.")
]
ListenOption = Annotated[
    str, typer.Option(help="This host's address for the others; default: this computer alone.")
]


@farm_app.callback()
def farm() -> None:
    """Share the phones of several hosts: start a farm, join it, see it, empty a host.

    \b
    Examples:
      python -m profiler farm start --listen 192.168.0.2
      python -m profiler farm join 192.168.0.2:6399 --listen 192.168.0.3
    """


@farm_app.command(cls=PanelCommand)
def start(
    listen: ListenOption = _LOOPBACK,
    port: Annotated[int, typer.Option(help="Port that the others join.")] = 6399,
    secret: SecretOption = None,
    journal: Annotated[
        Path | None, typer.Option(help="File of leases and results; default: in the cache.")
    ] = None,
    ttl_s: Annotated[
        float, typer.Option("--ttl", help="A lease ends so long after its last renewal, seconds.")
    ] = 60.0,
) -> None:
    """Start a farm on this host, and keep it running until Ctrl-C.

    \b
    Examples:
      python -m profiler farm start
      python -m profiler farm start --listen 192.168.0.2 --journal /srv/farm.sqlite
    """
    from device_agents.farm.journal import journal_lock
    from device_agents.farm.model import Limits
    from device_agents.farm_hosts.admission import default_secret, make_secret, read_secret
    from device_agents.farm_ray.processes import head_options, require_ray
    from device_agents.farm_ray.supervise import HostPart
    from search.cache import cache_root

    Limits(ttl_s=ttl_s)
    require_ray()
    file = secret or default_secret()
    make_secret(file)
    read_secret(file)
    folder, address = cache_root() / "farm", f"{listen}:{port}"
    kept = (journal or folder / "journal.sqlite").resolve()
    part = HostPart(
        address=address,
        secret=file,
        node=head_options(listen, port),
        actor={"what": "registry", "journal": str(kept), "ttl_s": ttl_s},
        log=folder / "head.log",
    )
    with journal_lock(kept):
        _keep(
            part,
            f"farm at {address}, its secret in {file}\n"
            f"on each host, also on this one: python -m profiler farm join {address}",
        )


@farm_app.command(cls=PanelCommand)
def join(
    address: AddressArgument,
    name: Annotated[
        str | None, typer.Option(help="This host's name in the farm; default: its own name.")
    ] = None,
    listen: ListenOption = _LOOPBACK,
    secret: SecretOption = None,
    adb_server: ServerOption = None,
    connect: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of a phone's own adb daemon (repeatable): no server needed."),
    ] = None,
) -> None:
    """Bring this host's phones into a farm until Ctrl-C; without phones, use it from here.

    \b
    Examples:
      python -m profiler farm join 127.0.0.1:6399
      python -m profiler farm join 192.168.0.2:6399 --listen 192.168.0.3 --name shelf-2
    """
    import re
    import socket

    from device_agents.adb.address import parse_address
    from device_agents.farm_hosts.admission import default_secret, read_secret
    from device_agents.farm_ray.processes import host_options, require_ray
    from device_agents.farm_ray.supervise import HostPart
    from search.cache import cache_root
    from search.errors import UsageError

    require_ray()
    parse_address(address, "The farm's address")
    for text in (*(connect or ()), *([adb_server] if adb_server else ())):
        parse_address(text, "--connect" if text in (connect or ()) else "--adb-server")
    host = name or re.sub(r"[^a-zA-Z0-9-]+", "-", socket.gethostname())
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,40}", host):
        raise UsageError(f"--name {host!r} is no host's name.", "Use letters, digits and hyphens.")
    file = secret or default_secret()
    read_secret(file)
    shelf = {"adb_server": adb_server, "connect": list(connect or ())}
    part = HostPart(
        address=address,
        secret=file,
        node=host_options(address, listen, host),
        actor={"what": "host", "host": host, **shelf},
        at_end={"what": "leave", "host": host},
        log=cache_root() / "farm" / f"host-{host}.log",
    )
    _keep(part, f"{host} is in the farm at {address}")


def _keep(part: "HostPart", told: str) -> None:
    """Run until Ctrl-C or SIGTERM."""
    import signal
    import threading

    from device_agents.farm_ray.supervise import keep_running

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def ready() -> None:
        typer.echo(told)
        typer.echo("Ctrl-C ends it.")

    keep_running(part, stop, lambda text: typer.echo(text, err=True), ready)


@farm_app.command(cls=PanelCommand)
def status(
    address: AddressArgument,
    secret: SecretOption = None,
    output_format: FormatOption = "table",
) -> None:
    """Show a farm: hosts, phones, who holds what until when, heat, who waits, campaigns.

    \b
    Examples:
      python -m profiler farm status 127.0.0.1:6399
      python -m profiler farm status 192.168.0.2:6399 --format json
    """
    from profiler.cli.farm.status import overview, print_overview
    from search.console.app import check_format
    from search.console.output import emit

    check_format(output_format)
    with_registry = _Registry(address, secret)
    with with_registry as registry:
        seen = overview(registry)
    emit(
        output_format,
        table=lambda _: print_overview(seen, typer.echo),
        content=lambda: seen,
        rows=lambda: seen["phones"],
    )


@farm_app.command(cls=PanelCommand)
def watch(
    address: AddressArgument,
    port: Annotated[
        int, typer.Option(help="Of this machine; a free one if 0.", min=0, max=65535)
    ] = 0,
    every_s: Annotated[
        float, typer.Option("--every", help="Seconds between two looks.", min=1)
    ] = 5.0,
    secret: SecretOption = None,
) -> None:
    """Serve a farm's page to a browser on this machine (Ctrl-C ends); it changes nothing.

    \b
    Examples:
      python -m profiler farm watch 127.0.0.1:6399
      python -m profiler farm watch 192.168.0.2:6399 --port 8080
    """
    import contextlib

    from profiler.cli.farm.watch import serve

    with (
        _Registry(address, secret) as registry,
        serve(registry, address, port, every_s=every_s) as server,
    ):
        typer.echo(f"http://127.0.0.1:{server.server_port}/ shows {address}; Ctrl-C ends")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


@farm_app.command(cls=PanelCommand)
def drain(
    address: AddressArgument,
    host: Annotated[str | None, typer.Argument(help="A host, as farm status names it.")] = None,
    phone: Annotated[
        str | None, typer.Option(help="One phone instead: out of use until a probe agrees.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Use the host's phones again.")] = False,
    secret: SecretOption = None,
) -> None:
    """Give a host's phones to nobody anew; who holds one keeps it to the end.

    \b
    Examples:
      python -m profiler farm drain 127.0.0.1:6399 shelf-2
      python -m profiler farm drain 127.0.0.1:6399 --phone 3f9a0c21
    """
    from search.errors import UsageError

    if (host is None) == (phone is None) or (phone and undo):
        raise UsageError(
            "Name a host, or one phone by --phone.", "--undo is for hosts; a probe frees a phone."
        )
    with _Registry(address, secret) as registry:
        if phone is not None:
            found = [one.phone for one in registry.phones() if one.phone.startswith(phone)]
            if len(found) != 1:
                raise UsageError(
                    f"{len(found)} phones of this farm begin with {phone!r}.",
                    "See farm status for their ids.",
                )
            registry.quarantine(found[0], "taken out by hand")
            typer.echo(f"{found[0]} is out of use until a campaign's probe agrees with the others")
            return
        assert host is not None
        registry.drain(host, not undo)
        held = [
            f"{one.phone} ({one.owner})"
            for one in registry.phones()
            if one.owner and any(way.startswith(f"{host} ") for way in one.ways)
        ]
    if undo:
        typer.echo(f"{host} gives its phones again")
    else:
        typer.echo(f"{host} gives its phones to nobody; still held: {', '.join(held) or 'none'}")


class _Registry:
    """A farm's registry for one command; opened lately, closed at its end."""

    def __init__(self, address: str, secret: Path | None) -> None:
        self._address = address
        self._secret = secret

    def __enter__(self) -> "RegistryClient":
        from device_agents.adb.address import parse_address
        from device_agents.farm_hosts.admission import default_secret, read_secret
        from device_agents.farm_hosts.clients import RegistryClient
        from device_agents.farm_ray.transport import RayTransport

        parse_address(self._address, "The farm's address")
        file = self._secret or default_secret()
        content = read_secret(file)
        self._transport = RayTransport(self._address, file)
        return RegistryClient(self._transport, content)

    def __exit__(self, *_: Any) -> None:
        self._transport.close()
