"""A loopback Android device on the command line, for a rehearsal without a phone.

python -m tests.loopback --port 0 --root DIR      in a checkout
fbnet-kit rehearse --port 0 --root DIR            wherever the kit is installed
adb connect 127.0.0.1:PORT
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from .connection import MODERN, OLD
from .device import LoopbackDevice
from .emulation import FEATURES
from .faults import HOSTILE, Faults
from .phone import Phone, hostile, pixel_like, this_host
from .phones import PHONES as ARM64_PHONES

PHONES: Mapping[str, Callable[[], Phone]] = {
    "this-host": this_host,
    "pixel-like": pixel_like,
    **{name: partial(replace, phone) for name, phone in ARM64_PHONES.items()},
}


def parser() -> argparse.ArgumentParser:
    """All options."""
    made = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="An ADB daemon on 127.0.0.1 that stands in for a phone. Not a phone: "
        "commands run on this machine, with your rights.",
    )
    made.add_argument("--port", type=int, default=0, help="0 picks a free one")
    made.add_argument("--root", type=Path, help="the device's files; default: a temporary folder")
    made.add_argument(
        "--phone",
        choices=PHONES,
        default="this-host",
        help="all but the first two run arm64 programs, under qemu",
    )
    made.add_argument("--cpu", choices=FEATURES, help="qemu's processor of such a phone")
    made.add_argument("--serial", help="its serial number; two devices need two")
    made.add_argument("--model", help="its model, such as 'Pixel 8' for --device pixel")
    made.add_argument(
        "--keep", action="store_true", help="settings of an earlier device at --root stay"
    )
    made.add_argument("--old", action="store_true", help="shell v1, payloads of 4096 bytes")
    made.add_argument(
        "--authorise", type=Path, action="append", metavar="ADBKEY.PUB", help="let only these in"
    )
    made.add_argument(
        "--offers", choices=("accept", "refuse"), help="ask for a key; what to do with a new one"
    )
    made.add_argument("--hostile", action="store_true", help="nasty strings in every answer")
    made.add_argument("--ground", choices=("auto", "namespace", "prefix"), default="auto")
    made.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"one of {', '.join(Faults.switches())}",
    )
    return made


def read_faults(texts: list[str], nasty: bool) -> Faults:
    """Faults from NAME=VALUE.

    Raises:
        ValueError: An unknown name or a wrong value.
    """
    known, faults = Faults.switches(), Faults()
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise ValueError(f"No fault is called {name!r}; known are {', '.join(known)}.")
        kind = known[name]
        setattr(faults, name, value.encode() if kind is str else kind(value or 1))
    if nasty:
        faults.noise = HOSTILE
    return faults


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; 2 for a wrong option."""
    arguments = parser().parse_args()
    try:
        faults = read_faults(arguments.fault, arguments.hostile)
        keys = [path.read_bytes() for path in arguments.authorise or ()]
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    named = {name: getattr(arguments, name) for name in ("serial", "model")}
    named["emulated_cpu"] = arguments.cpu
    phone = replace(
        PHONES[arguments.phone](), **{name: text for name, text in named.items() if text}
    )
    asked = bool(arguments.authorise or arguments.offers)
    over: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: over.append(number))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # Under nohup this process stays, but its commands must die with their streams.
        signal.signal(signal.SIGHUP, lambda *_: None)
    with (
        tempfile.TemporaryDirectory(prefix="loopback-") as spare,
        LoopbackDevice(
            arguments.root or Path(spare),
            phone=hostile(phone) if arguments.hostile else phone,
            wire=OLD if arguments.old else MODERN,
            port=arguments.port,
            keys=keys if asked else None,
            accept_offers=arguments.offers == "accept",
            faults=faults,
            ground=arguments.ground,
            keep=arguments.keep,
        ) as device,
    ):
        print(f"listening on {device.address}", flush=True)
        print("not a phone: rehearsal only", flush=True)
        while not over:
            # A signal that reaches another thread does not wake this one.
            time.sleep(0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
