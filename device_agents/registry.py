"""Devices by name and agents by platform; outside agents use the entry point `device_agents`."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from device_agents.base import AgentSettings, DeviceAgent
from device_agents.device import Device, load_device
from search.errors import UsageError

Factory = Callable[[Device, AgentSettings], DeviceAgent]

_FACTORIES: dict[str, str] = {
    "host": "device_agents.registry:_host",
    "simulated": "device_agents.registry:_simulated",
    "android": "device_agents.registry:_android",
    "ios": "device_agents.registry:_ios",
}


def _host(_: Device, settings: AgentSettings) -> DeviceAgent:
    from device_agents.host.agent import HostAgent

    return HostAgent(settings)


def _simulated(device: Device, settings: AgentSettings) -> DeviceAgent:
    from device_agents.simulated.agent import SimulatedAgent
    from device_agents.simulated.truth import Truth

    return SimulatedAgent(settings, Truth.from_options(device.options))


def _android(device: Device, settings: AgentSettings) -> DeviceAgent:
    from device_agents.adb.address import AdbAddress
    from device_agents.android.agent import AndroidAgent
    from device_agents.android.fleet import Fleet

    if "farm" in device.options:
        return _farm(device, settings)
    if len(AdbAddress.of(device.options).serials) > 1:
        return Fleet(device, settings)
    return AndroidAgent(device, settings)


def _farm(device: Device, settings: AgentSettings) -> DeviceAgent:
    from device_agents.farm_hosts.admission import read_secret
    from device_agents.farm_hosts.fleet import FarmFleet
    from device_agents.farm_hosts.membership import Wish
    from device_agents.farm_ray.transport import RayTransport

    options, secret = device.options, Path(device.options["secret"])
    wish = Wish(
        models=device.match.get("model", "*"),
        model=options["model"],
        campaign=options["campaign"],
        left_out=tuple(filter(None, options["leave_out"].split(","))),
    )
    return FarmFleet(RayTransport(options["farm"], secret), read_secret(secret), wish, settings)


def _ios(device: Device, settings: AgentSettings) -> DeviceAgent:
    from device_agents.iphone.agent import IphoneAgent

    return IphoneAgent(device, settings)


def platforms() -> tuple[str, ...]:
    """Platforms for which there is an agent."""
    outside = tuple(point.name for point in entry_points(group="device_agents"))
    return tuple(dict.fromkeys((*_FACTORIES, *outside)))


def make_agent(device: Device, settings: AgentSettings) -> DeviceAgent:
    """The agent of a device's platform.

    Raises:
        UsageError: No agent for this platform, or two that claim it.
    """
    outside = {point.name: point for point in entry_points(group="device_agents")}
    claimed = sorted(set(outside) & set(_FACTORIES))
    if claimed:
        raise UsageError(f"Two agents claim the platform {claimed[0]!r}.", "Uninstall one of them.")
    if device.platform in outside:
        outside_factory: Factory = outside[device.platform].load()
        return outside_factory(device, settings)
    if device.platform not in _FACTORIES:
        raise UsageError(
            f"No agent for the platform {device.platform!r}.", f"Known: {', '.join(platforms())}."
        )
    module, _, name = _FACTORIES[device.platform].partition(":")
    factory: Factory = getattr(import_module(module), name)
    return factory(device, settings)


def find_device(
    text: str,
    *,
    serial: str | None = None,
    adb_server: str | None = None,
    connect: str | None = None,
) -> Device:
    """The device of this text (`name`, `name@serial`, a serial or a TOML file).

    Serial and addresses are added to the device's options.

    Raises:
        UsageError: No such device, or options that it does not have.
    """
    name, at, suffix = text.partition("@")
    if at and serial:
        raise UsageError("Give the serial once: after @, or by --serial.")
    addresses = {"serial": suffix or serial, "adb_server": adb_server, "connect": connect}
    options = {option: value for option, value in addresses.items() if value}
    try:
        device = load_device(name if at else text)
    except UsageError:
        if at or text.endswith(".toml") or not _is_attached(text, adb_server):
            raise
        device, options = load_device("android"), {**options, "serial": text}
    if options and device.platform != "android":
        raise UsageError(
            f"The device {device.name} is not reached by adb: it has no "
            f"{', '.join(sorted(options))}.",
            "Leave the option out, or name an Android device.",
        )
    together = {**device.options, **options}
    if device.platform == "android" and together.get("connect") and together.get("serial"):
        raise UsageError(
            f"--connect {together['connect']} reaches one phone, and --serial "
            f"{together['serial']} would choose another.",
            "Give one of them.",
        )
    return device.model_copy(update={"options": together})


def find_devices(
    texts: Sequence[str],
    *,
    serial: str | None = None,
    adb_server: str | None = None,
    connect: str | None = None,
) -> tuple[Device, ...]:
    """Several devices; the addresses are those of the Android ones among them.

    Raises:
        UsageError: As `find_device`, or one phone's address for several of them or for none.
    """
    given = {"serial": serial, "adb_server": adb_server, "connect": connect}
    addresses = {option: value for option, value in given.items() if value}
    phones = [text for text in texts if _may_be_android(text)]
    if addresses and not phones:
        raise UsageError(
            f"{_as_options(addresses)} would reach a phone, and no --device is one.",
            "Name the phone too, such as --device android.",
        )
    single = {option: value for option, value in addresses.items() if option != "adb_server"}
    if single and len(phones) > 1:
        raise UsageError(
            f"{_as_options(single)} reaches one phone, and {len(phones)} are named.",
            "Give each its serial: --device NAME@SERIAL.",
        )
    return tuple(find_device(text, **(addresses if text in phones else {})) for text in texts)


def _as_options(addresses: Mapping[str, str]) -> str:
    return " and ".join(
        f"--{option.replace('_', '-')} {text}" for option, text in addresses.items()
    )


def _may_be_android(text: str) -> bool:
    """Whether this names an Android device, or is no name and so may be a serial."""
    name, _, _ = text.partition("@")
    try:
        return load_device(name).platform == "android"
    except UsageError:
        return not text.endswith(".toml")


def _is_attached(serial: str, adb_server: str | None) -> bool:
    from device_agents.adb.address import AdbAddress
    from device_agents.adb.discovery import is_attached

    return is_attached(AdbAddress.of({"adb_server": adb_server} if adb_server else {}), serial)
