"""Campaigns on a farm's phones: the options of `measure`, and one table of each model."""

import contextlib
import getpass
import hashlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from device_agents.adb.address import parse_address
from device_agents.android.identity import slug
from device_agents.device import Device
from device_agents.farm_hosts.admission import default_secret, read_secret
from device_agents.farm_hosts.clients import RegistryClient
from device_agents.farm_hosts.membership import models_in
from device_agents.farm_ray.transport import RayTransport
from profiler.journal import journal_path
from profiler.settings import CampaignSettings
from search.console.messages import counted
from search.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmOptions:
    """The farm's options of `measure` as typed."""

    farm: str | None
    farm_secret: Path | None
    model: str | None
    each_model: bool
    leave_out: Sequence[str]

    def check(self, sustain: str | None = None) -> None:
        """Refuse what belongs to a farm without one, and what excludes each other.

        Args:
            sustain: `--sustain` as typed, for which a farm's phones cannot be taken.

        Raises:
            UsageError: One of these.
        """
        if self.farm is None:
            given = {
                "--farm-secret": self.farm_secret,
                "--model": self.model,
                "--each-model": self.each_model,
                "--leave-out": self.leave_out,
            }
            if typed := [option for option, value in given.items() if value]:
                raise UsageError(f"{', '.join(typed)}: only with --farm.", "Add --farm HOST:PORT.")
            return
        parse_address(self.farm, "--farm")
        if sustain is not None:
            raise UsageError(
                "--sustain is of one phone: those of a farm share the work, and rest in between.",
                "Name one phone with --serial, or leave --sustain out.",
            )
        if self.model and self.each_model:
            raise UsageError("--model and --each-model exclude each other.")

    @property
    def secret(self) -> Path:
        """File of the farm's secret."""
        return self.farm_secret or default_secret()


def named_for_farm(device: Device, options: FarmOptions) -> Device:
    """The device under a name for the farm's model; campaigns of two models are two.

    Raises:
        UsageError: It is no Android device, or is reached in another way too.
    """
    if options.farm is None:
        return device
    if device.platform != "android" or device.options:
        raise UsageError(
            "--farm is for Android phones, and finds them itself.",
            "Name --device android or pixel, without --serial, --connect or --adb-server.",
        )
    words = (device.name, "farm", slug(options.model or ""))
    return device.model_copy(update={"name": "-".join(filter(None, words))})


def on_farm(
    device: Device, options: FarmOptions, settings: CampaignSettings, output: Path
) -> Device:
    """The device with a farm among its options; as it is without one."""
    if options.farm is None:
        return device
    place = f"{journal_path(output, settings).resolve()} {socket.gethostname()}"
    digest = hashlib.sha256(f"{place} {options.model}".encode()).hexdigest()[:8]
    return device.model_copy(
        update={
            "options": {
                "farm": options.farm,
                "secret": str(options.secret),
                "model": options.model or "",
                "leave_out": ",".join(options.leave_out),
                "campaign": f"{settings.space} {getpass.getuser()} {digest}",
            }
        }
    )


def farm_models(options: FarmOptions, device: Device) -> list[str]:
    """The farm's models that fit a device, by name.

    Raises:
        UsageError: There is none.
    """
    assert options.farm is not None
    transport = RayTransport(options.farm, options.secret)
    with contextlib.closing(transport):
        phones = RegistryClient(transport, read_secret(options.secret)).phones()
    pattern = device.match.get("model", "*")
    if not (models := models_in(phones, pattern)):
        raise UsageError(
            f"The farm has no phone of a model {pattern!r}.", "See python -m profiler farm status."
        )
    return models


def measure_each(models: Sequence[str], argv: Sequence[str], echo: Callable[[str], None]) -> int:
    """Run this command once for each model, all at once; the worst of their exit codes.

    What each prints stands behind its model's name. Ctrl-C reaches all of them.
    """
    words = [word for word in argv if word != "--each-model"]
    echo(f"{counted(len(models), 'model')}: {', '.join(models)}")
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "profiler", *words, "--model", model, "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for model in models
    ]
    threads = [
        threading.Thread(target=_repeat, args=(model, child.stdout, echo), daemon=True)
        for model, child in zip(models, children, strict=True)
    ]
    for thread in threads:
        thread.start()
    with _interrupts_wait():
        codes = [child.wait() for child in children]
    for thread in threads:
        thread.join()
    return max(codes, key=abs)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C is for the campaigns, which end by themselves; this process waits for them."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _repeat(model: str, stream: IO[str] | None, echo: Callable[[str], None]) -> None:
    assert stream is not None
    with stream:
        for line in stream:
            echo(f"{model}: {line.rstrip()}")
