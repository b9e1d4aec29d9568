"""Which phones of a farm take part in a campaign: leases taken, kept, and given back."""

import contextlib
import getpass
import socket
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from device_agents.base import AgentSettings
from device_agents.farm.model import FencedOff, Lease, LeaseLost, PhoneStatus
from device_agents.farm_hosts.clients import HostClient, RegistryClient
from device_agents.farm_hosts.keeping import KeptLease
from device_agents.farm_hosts.phones import RunnerSettings
from device_agents.farm_hosts.remote import RemotePhone
from device_agents.farm_hosts.transport import FarmTransport, Unreachable
from search.errors import ConnectionLost, DeviceError, KitError, UsageError
from search.table.manifest import DeviceInfo

_POLL_S = 2.0
# A head that died is started again by its supervisor, and its hosts join it again.
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which phones a campaign wants.

    Attributes:
        models: Pattern of model names.
        model: Exactly this model; empty: the one that the pattern finds.
        campaign: What its results are kept under: the same when it is resumed.
        left_out: Beginnings of the ids of phones that must not take part.
    """

    models: str = "*"
    model: str = ""
    campaign: str = "campaign"
    left_out: tuple[str, ...] = ()


class Membership:
    """The phones that take part, by their numbers within the campaign.

    Args:
        transport: Carries the calls.
        secret: The farm's.
        wish: Which phones.
        settings: How each runner is started.
        poll_s: Time between questions while it waits for a phone.

    Attributes:
        phones: Those that take part now, by number.
        hashes: The serial hash of every phone that ever took part, by number; those of earlier
            launches of the campaign too.
        notes: What happened to phones, for the table.
    """

    def __init__(
        self,
        transport: FarmTransport,
        secret: bytes,
        wish: Wish,
        settings: AgentSettings,
        poll_s: float = _POLL_S,
    ) -> None:
        self.registry = RegistryClient(transport, secret)
        self.phones: dict[int, RemotePhone] = {}
        self.hashes: dict[int, str] = {}
        self.notes: list[str] = []
        self.info: DeviceInfo | None = None
        self.model = wish.model
        self.owner = f"{getpass.getuser()}@{socket.gethostname()}"
        self._transport = transport
        self._secret = secret
        self._wish = wish
        self._settings = settings
        self._poll_s = poll_s
        self._left_out = list(wish.left_out)

    def begin(self) -> None:
        """Choose the model, and take every free phone of it.

        Raises:
            UsageError: The farm has no such model, or several.
        """
        self.model = self._choose_model()
        self.registry.forget(self._wish.campaign, only_open=True)
        self.hashes = dict(self.registry.members(self._wish.campaign))
        self.tell_stage("getting ready")
        self.gather()

    def end(self, *, is_complete: bool) -> None:
        """Give all phones back; what is kept of a complete campaign is dropped."""
        for phone in self.phones.values():
            phone.__exit__(None, None, None)
        self.phones.clear()
        if is_complete:
            with contextlib.suppress(KitError):
                self.registry.forget(self._wish.campaign)

    def tell_stage(self, title: str) -> None:
        """Say how far the campaign is; a registry that cannot be reached hears it later."""
        with contextlib.suppress(KitError):
            self.registry.note_stage(self._wish.campaign, self.owner, title)

    def _choose_model(self) -> str:
        models = models_in(self.registry.phones(), self._wish.models)
        if self._wish.model:
            models = [model for model in models if model == self._wish.model]
        if len(models) == 1:
            return models[0]
        if models:
            raise UsageError(
                f"The farm has several such models: {', '.join(models)}.",
                "Choose one by --model, or make a table of each by --each-model.",
            )
        wanted = self._wish.model or self._wish.models
        raise UsageError(
            f"The farm has no phone of the model {wanted!r}.",
            "See python -m profiler farm status; --device android takes any model.",
        )

    def gather(self) -> None:
        """Take every free phone; wait for one where there is none and none is held.

        Raises:
            Unreachable: The farm does not answer: at the beginning, or for minutes.
        """
        request, told = uuid.uuid4().hex, ""
        failed: set[str] = set()
        patient_until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                lease = self._ask(request, failed if self.phones else ())
                if lease is None and self.phones:
                    return
                news = self._why_waiting() if lease is None else told
                patient_until_s = time.monotonic() + _PATIENCE_S
            except Unreachable as error:
                if self.info is None or time.monotonic() > patient_until_s:
                    raise
                lease, news = None, f"{error.message} Trying again."
            if lease is not None:
                request = uuid.uuid4().hex
                if all(one.lease != lease for one in self.phones.values()):
                    failed.add(lease.phone)  # it is left alone while others measure
                if self.phones:
                    continue
            if news != told:
                told = news
                self._settings.say(news)
            time.sleep(self._poll_s)

    def _ask(self, request: str, but_not: Collection[str]) -> Lease | None:
        """Ask for one phone, and let it take part."""
        sent_at_s = time.monotonic()
        lease = self.registry.acquire(
            self.owner,
            self.model,
            request,
            waits=not self.phones,
            left_out=[*self._left_out, *but_not],
        )
        if lease is not None:
            self._take(lease, sent_at_s)
        return lease

    def _take(self, lease: Lease, sent_at_s: float) -> None:
        """Let a leased phone take part; one that cannot be opened is counted as failed.

        Raises:
            KitError: The phone itself is at fault, and no other takes part.
        """
        try:
            phone = self.remote(lease, sent_at_s)
            phone.__enter__()
        except KitError as error:
            self.note(f"the phone {lease.phone} could not be used: {error.message}")
            self._failed(lease, error)
            if not isinstance(error, ConnectionLost | LeaseLost) and not self.phones:
                raise
            return
        info = _kind_of(phone.info())
        self.info = self.info or info
        if info != self.info:
            self.note(
                f"the phone {lease.phone} differs from the others in system version or cores and "
                "takes no part"
            )
            self._left_out.append(lease.phone)
            phone.__exit__(None, None, None)
            return
        number = self.registry.number_of(self._wish.campaign, lease.phone)
        self.phones[number] = phone
        self.hashes[number] = phone.info().serial_hash or lease.phone

    def remote(self, lease: Lease, sent_at_s: float) -> RemotePhone:
        """The phone of a lease, not yet entered.

        Raises:
            KitError: No host sees it, or the registry cannot be reached.
        """
        way = self.registry.way(lease.key)
        return RemotePhone(
            KeptLease(lease, sent_at_s, self.registry),
            way.address,
            self.registry,
            HostClient(self._transport, way.host, self._secret),
            settings=RunnerSettings.of(self._settings),
            campaign=self._wish.campaign,
            say=self._settings.say,
        )

    def lose(self, number: int, error: KitError) -> None:
        """Take a phone out; where it is at fault itself, that is counted."""
        phone = self.phones.pop(number)
        self.note(f"the phone {self.hashes[number]} was lost: {error.message}")
        self._failed(phone.lease, error)
        phone.__exit__(None, None, None)

    def _failed(self, lease: Lease, error: KitError) -> None:
        with contextlib.suppress(KitError):
            if is_its_own_fault(error):
                self.registry.fail(lease.key, error.message)
            self.registry.release(lease.key)

    def _why_waiting(self) -> str:
        phones = [one for one in self.registry.phones() if one.model == self.model]
        held = [
            f"{one.phone}: {f'{one.owner} holds it' if one.owner else one.health}"
            f"{f' ({one.reason})' if one.reason else ''}"
            for one in phones
        ]
        return f"Waiting for a {self.model}: {'; '.join(held) or 'the farm has none now'}."

    def note(self, text: str) -> None:
        """Tell the user, and the table."""
        if text not in self.notes:
            self.notes.append(text)
            self._settings.say(text)


def is_its_own_fault(error: KitError) -> bool:
    """Whether a phone cannot do what it should: not the way to it, nor somebody else's lease."""
    return isinstance(error, DeviceError) and not isinstance(error, FencedOff)


def models_in(phones: Sequence[PhoneStatus], pattern: str) -> list[str]:
    """The models of a farm's phones that fit a pattern, by name."""
    return sorted({one.model for one in phones if fnmatchcase(one.model, pattern)})


def _kind_of(info: DeviceInfo) -> DeviceInfo:
    """What phones of a table have in common, as one device."""
    stem = info.id.rpartition("-")[0]
    return info.model_copy(update={"id": f"{stem}-farm", "serial_hash": None, "ram_mb": None})
