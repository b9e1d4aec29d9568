"""The page of a farm: what it shows, who gets it, and how it behaves in a real browser."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_agents.farm.model import CampaignStatus, HostStatus, PhoneStatus, Waiting
from profiler.cli.farm.page import farm_page
from profiler.cli.farm.status import overview
from profiler.cli.farm.watch import serve
from search.errors import ConnectionLost
from tests.profiler.report.browser import Browser, browser

NASTY = "</td><script>console.error('ran')</script>"
FREE = PhoneStatus(
    phone="3f9a0c21d0b81c55",
    model="Pixel 8",
    health="ready",
    reason="",
    ways=("shelf-1 usb 0A1B2C3D4E5F", "shelf-2 tcp tcp:192.168.0.77:5555"),
    temperature_c=27.0,
    battery_percent=91.0,
    owner=None,
    expires_in_s=None,
)


class Farm:
    """A farm of one campaign whose phones are in every state."""

    def __init__(self) -> None:
        self.stage = "pass 3 of 6"
        self.is_there = True

    def hosts(self) -> list[HostStatus]:
        if not self.is_there:
            raise ConnectionLost("The farm's registry cannot be reached: nothing answers.")
        return [
            HostStatus(host="shelf-1", seen_s_ago=2.0, is_drained=False),
            HostStatus(host="shelf-2", seen_s_ago=9000.0, is_drained=True),
        ]

    def phones(self) -> list[PhoneStatus]:
        held = replace(FREE, phone="51bc", owner="ann@desk", expires_in_s=42.0)
        hot = replace(FREE, phone="77aa", health="hot", reason="41.5 C, above 40", owner="ann@desk")
        lost = replace(FREE, phone="88bb", health="lost", reason="no host sees it", ways=())
        odd = replace(lost, phone="99cc", model=NASTY, temperature_c=None, battery_percent=None)
        return [FREE, held, replace(hot, expires_in_s=3.0), lost, odd]

    def waiting(self) -> list[Waiting]:
        return [Waiting(owner="bob@desk", model="Pixel 8", for_s=130.0)]

    def campaigns(self) -> list[CampaignStatus]:
        return [
            CampaignStatus(
                campaign="fbnet-r224-x1-c1000-h1984-p1-b1-fp32 ann 0a1b2c3d",
                queued=1,
                running=2,
                done=5,
                owner="ann@desk",
                stage=self.stage,
                phones=(("51bc", 3), ("77aa", 2)),
            )
        ]


@contextlib.contextmanager
def served(farm: Farm, every_s: float = 5.0) -> Iterator[int]:
    """The port of a farm's page."""
    with serve(farm, "127.0.0.1:6399", 0, every_s=every_s) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    asked.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = asked.getresponse()
    text = answer.read().decode()
    asked.close()
    return answer.status, text


def test_the_page_says_who_holds_what_until_when_who_waits_and_how_far_campaigns_are() -> None:
    now = datetime(2026, 1, 2, 10, 0, 0, tzinfo=UTC)
    page = farm_page(overview(Farm()), "127.0.0.1:6399", now=now, every_s=5)
    for words in (
        *("ann@desk", "until 10:00:42", "41.5 C, above 40", "27 °C", "91 %", "bob@desk"),
        *("shelf-1 usb 0A1B2C3D4E5F", "2 min", "2.5 h", "gives no phones (drained)"),
        *("pass 3 of 6", '<progress max="6" value="2"', "5 parts done, 2 running, 1 queued"),
    ):
        assert words in page, words
    assert NASTY not in page


def test_the_page_changes_nothing_and_answers_this_machine_alone() -> None:
    with served(Farm()) as port:
        assert ask(port, "/")[0] == 200
        assert ask(port, "/", f"localhost:{port}")[0] == 200
        # A name from elsewhere that was made to lead here.
        assert ask(port, "/", f"evil.example:{port}")[0] == 403
        assert ask(port, "/drain")[0] == 404
        assert {ask(port, "/", method=word)[0] for word in ("POST", "PUT", "DELETE")} == {501}


def test_the_same_is_there_as_json() -> None:
    with served(Farm()) as port:
        told = json.loads(ask(port, "/farm.json")[1])
    assert [one["phone"] for one in told["phones"]][:2] == ["3f9a0c21d0b81c55", "51bc"]
    assert told["campaigns"][0]["phones"] == [["51bc", 3], ["77aa", 2]]
    assert told["problem"] == ""


def test_a_farm_that_does_not_answer_any_more_is_shown_as_it_was_and_the_page_says_so() -> None:
    farm = Farm()
    with served(farm, every_s=0.0) as port:
        assert "cannot be reached" not in ask(port, "/")[1]
        farm.is_there = False
        page = ask(port, "/")[1]
    assert "The farm&#39;s registry cannot be reached" in page
    assert "ann@desk" in page


# --- in a browser ----------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def _sized(opened: Browser, width: int, *, dark: bool = False) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    opened.call("Emulation.setEmulatedMedia", media="", features=[scheme])
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.call("Emulation.setDeviceMetricsOverride", **size)
    opened.complaints.clear()
    opened.requests.clear()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk_and_loads_nothing_from_elsewhere(
    chromium: Browser, width: int, tmp_path: Path
) -> None:
    with served(Farm()) as port:
        _sized(chromium, width)
        chromium.open(f"http://127.0.0.1:{port}/")
        assert chromium.run("document.documentElement.scrollWidth") <= width
        assert chromium.run("document.querySelectorAll('#phones ~ table tbody tr').length") == 5
        chromium.picture(tmp_path / "farm.png")
    assert chromium.complaints == []
    assert {url.split("/")[2] for url in chromium.requests if url.startswith("http")} == {
        f"127.0.0.1:{port}"
    }


def test_dark_mode_darkens_the_page(chromium: Browser) -> None:
    with served(Farm()) as port:
        shades = []
        for dark in (False, True):
            _sized(chromium, 1280, dark=dark)
            chromium.open(f"http://127.0.0.1:{port}/")
            shades.append(chromium.run("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_the_state_is_renewed_while_focus_and_place_stay(chromium: Browser) -> None:
    farm = Farm()
    with served(farm, every_s=0.2) as port:
        _sized(chromium, 390)
        chromium.open(f"http://127.0.0.1:{port}/")
        for kind in ("rawKeyDown", "keyUp"):
            chromium.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab")
        assert chromium.run("document.activeElement.className") == "skip-link"
        chromium.run("document.querySelector('nav a[href=\"#hosts\"]').focus()")
        chromium.run("window.scrollTo(0, 300)")
        farm.stage = "pass 4 of 6"
        chromium.run(
            "new Promise(done => { const look = () => document.body.textContent"
            ".includes('pass 4 of 6') ? done() : setTimeout(look, 20); look(); })"
        )
        assert chromium.run("document.activeElement.getAttribute('href')") == "#hosts"
        assert chromium.run("window.scrollY") == 300
    assert chromium.complaints == []


def test_the_page_can_be_halted_by_its_button(chromium: Browser) -> None:
    farm = Farm()
    with served(farm, every_s=0.2) as port:
        _sized(chromium, 1280)
        chromium.open(f"http://127.0.0.1:{port}/")
        chromium.run("document.getElementById('pause').click()")
        assert chromium.run("document.getElementById('pause').getAttribute('aria-pressed')") == (
            "true"
        )
        chromium.run("new Promise(done => setTimeout(done, 500))")  # what was under way has ended
        farm.stage = "pass 5 of 6"
        chromium.run("new Promise(done => setTimeout(done, 600))")
        assert "pass 5 of 6" not in chromium.run("document.body.textContent")
