"""What crosses the border of the lease registry: sightings, leases, tasks and results."""

from dataclasses import dataclass
from typing import Literal

from search.errors import DeviceError, DeviceLost, UsageError

Health = Literal["ready", "hot", "low_battery", "quarantined", "lost"]
Purpose = Literal["measure", "probe"]


class LeaseLost(DeviceLost):
    """The phone is no longer this holder's; what it measures from now on is refused."""


class FencedOff(DeviceError):
    """A phone has been given to somebody else since this token was issued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When leases end and when a phone rests.

    Attributes:
        ttl_s: How long a lease lives after its last renewal.
        most_c: A phone above this temperature is hot.
        least_battery_percent: A phone below this charge is left to charge.
        most_failures: Failed tasks in a row that send a phone to quarantine.
        probe_tolerance: How far a probe may lie from what was expected, as a share.
    """

    ttl_s: float = 60.0
    most_c: float = 40.0
    least_battery_percent: float = 30.0
    most_failures: int = 3
    probe_tolerance: float = 0.05

    def __post_init__(self) -> None:
        values = (self.ttl_s, self.most_failures, self.probe_tolerance)
        if not all(value > 0 for value in values):
            raise UsageError(
                f"Limits of a farm must be above zero, not {values}.",
                "Give a time to live, a number of failures and a tolerance above zero.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One way to a phone, as one host sees it.

    Attributes:
        host: Name of the host that sees it.
        address: Serial number or address that the host calls it by.
        connection: `usb` or `tcp`.
        marks: What tells this phone from all others, whatever way it is reached: the hash
            of its hardware serial, the id that the kit keeps on it. One in common is enough.
        model: Model name; campaigns ask for phones by it.
        fence: The token kept on the phone, 0 if none is.
        temperature_c: Of its battery or skin; unknown is None.
        battery_percent: Charge; unknown is None.
    """

    host: str
    address: str
    connection: Literal["usb", "tcp"]
    marks: frozenset[str]
    model: str
    fence: int = 0
    temperature_c: float | None = None
    battery_percent: float | None = None

    def __post_init__(self) -> None:
        if not self.marks or not all(self.marks):
            raise UsageError(
                f"The phone {self.address} at {self.host} has nothing to be told apart by.",
                "Read its serial number (adb shell getprop ro.serialno) and try again.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to use one phone.

    Attributes:
        key: Known to the holder alone; every call about this lease needs it.
        phone: Id of the phone.
        token: Fencing token: larger than those of all earlier leases of the phone.
        owner: Who holds it.
        purpose: `measure`, or `probe` for a phone in quarantine.
        ttl_s: It ends this long after the last renewal.
    """

    key: str
    phone: str
    token: int
    owner: str
    purpose: Purpose
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Task:
    """One item in one pass of a campaign; `phone` names the only one that may run it."""

    campaign: str
    item: str
    pass_number: int
    phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a phone measured for a task, with the token that the phone was fenced by."""

    task: Task
    phone: str
    token: int
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneStatus:
    """One phone as people see it; `expires_in_s` counts from now."""

    phone: str
    model: str
    health: Health
    reason: str
    ways: tuple[str, ...]
    temperature_c: float | None
    battery_percent: float | None
    owner: str | None
    expires_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a holder reaches its phone: through this host, which calls it by this address."""

    host: str
    address: str
    connection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """A host: when it was last heard of, and whether its phones are given to nobody anew."""

    host: str
    seen_s_ago: float
    is_drained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Somebody who waits for a phone of a model."""

    owner: str
    model: str
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStatus:
    """How far one campaign is, in tasks: a task is what one phone runs at one go.

    `stage` is what its holder last said ("pass 2 of 6"), empty where it has not; `phones` are the
    tasks done by each phone.
    """

    campaign: str
    queued: int
    running: int
    done: int
    owner: str = ""
    stage: str = ""
    phones: tuple[tuple[str, int], ...] = ()
