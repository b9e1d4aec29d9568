"""A farm as a page: phones, queue, campaigns and hosts, for a browser of this machine."""

import base64
import hashlib
import re
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from profiler.cli.farm.status import Overview
from search.errors import UsageError

_WORDS = {"low_battery": "low battery", "held": "measuring"}
_ORDER = ("ready", "held", "hot", "low_battery", "quarantined", "lost")
_PASSES = re.compile(r"pass (\d+) of (\d+)")


@cache
def _asset(name: str) -> str:
    return (files("profiler.cli.farm") / "assets" / name).read_text(encoding="utf-8")


def content_policy() -> str:
    """What a browser may do with the page: its own script and style, and ask this server anew."""
    hashes = {
        kind: base64.b64encode(hashlib.sha256(_asset(f"farm.{kind}").encode()).digest()).decode()
        for kind in ("js", "css")
    }
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['js']}'; "
        f"style-src 'sha256-{hashes['css']}'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def farm_page(
    seen: Overview, address: str, *, now: datetime, every_s: float, problem: str = ""
) -> str:
    """A complete HTML page; nothing in it is loaded from elsewhere.

    Args:
        seen: From `overview`.
        address: The farm's.
        now: When it was seen.
        every_s: Seconds after which the page asks for its state again.
        problem: Why nothing newer is known; empty: it is.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise UsageError(
            "The page needs jinja2, which is not installed.",
            "Install the kit with pip install -e '.[profile,farm]'; farm status needs none.",
        ) from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    phones = [_phone(one, now) for one in seen["phones"]]
    counted = Counter(phone["state"] for phone in phones)
    return environment.from_string(_asset("farm.html.j2")).render(
        address=address,
        style=_asset("farm.css"),
        script=_asset("farm.js"),
        when=f"{now:%H:%M:%S}",
        every_s=f"{every_s:g}",
        problem=problem,
        counts=[(_WORDS.get(state, state), counted[state]) for state in _ORDER if counted[state]],
        phones=phones,
        waiting=[{**one, "since": _ago(one["for_s"])} for one in seen["waiting"]],
        campaigns=[_campaign(one) for one in seen["campaigns"]],
        hosts=[_host(one, seen["phones"]) for one in seen["hosts"]],
    )


def _phone(one: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Who holds a phone matters before its health, unless that ends its use."""
    state = "held" if one["owner"] and one["health"] == "ready" else one["health"]
    heat, charge = one["temperature_c"], one["battery_percent"]
    until = now + timedelta(seconds=one["expires_in_s"] or 0)
    return {
        **one,
        "state": state,
        "word": _WORDS.get(state, state),
        "until": f"{until:%H:%M:%S}",
        "heat": "unknown" if heat is None else f"{heat:g} °C",
        "charge": "unknown" if charge is None else f"{charge:g} %",
    }


def _campaign(one: dict[str, Any]) -> dict[str, Any]:
    found = _PASSES.search(one["stage"])
    number, total = map(int, found.groups()) if found else (0, 0)
    return {
        **one,
        # The pass that is named runs; those before it are done.
        "passes": (number - 1, total) if total else None,
        "most": max((done for _, done in one["phones"]), default=1),
    }


def _host(one: dict[str, Any], phones: list[dict[str, Any]]) -> dict[str, Any]:
    drained = one["is_drained"]
    reached = sum(
        any(way.startswith(f"{one['host']} ") for way in phone["ways"]) for phone in phones
    )
    return {
        **one,
        "seen": _ago(one["seen_s_ago"]),
        "phones": reached,
        "state": "drained" if drained else "ready",
        "word": "gives no phones (drained)" if drained else "gives its phones",
    }


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
