"""The farm on the command line: what is refused, what is shown, a campaign for each model."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.device import load_device
from device_agents.farm.model import CampaignStatus, HostStatus, PhoneStatus, Waiting
from profiler.cli.farm.campaign import FarmOptions, measure_each, named_for_farm, on_farm
from profiler.cli.farm.status import overview, print_overview
from profiler.settings import PRESETS, CampaignSettings
from search.errors import UsageError

ON = FarmOptions(
    farm="127.0.0.1:6399", farm_secret=Path("s"), model=None, each_model=False, leave_out=()
)
SETTINGS = CampaignSettings(
    device="android-farm",
    space="fbnet-mini",
    dtype="fp32",
    backend="xnnpack",
    threads=1,
    affinity=None,
    runner="auto",
    seed=0,
    effort=PRESETS["fast"],
)


class Seen:
    """A farm of one phone, held by somebody."""

    def hosts(self) -> list[HostStatus]:
        return [HostStatus(host="shelf-1", seen_s_ago=2.4, is_drained=True)]

    def phones(self) -> list[PhoneStatus]:
        return [
            PhoneStatus(
                phone="3f9a",
                model="Pixel 8",
                health="hot",
                reason="41.5 C, above 40",
                ways=("shelf-1 usb 0A1B",),
                temperature_c=41.5,
                battery_percent=None,
                owner="ann@desk",
                expires_in_s=31.6,
            )
        ]

    def waiting(self) -> list[Waiting]:
        return [Waiting(owner="bob@desk", model="Pixel 8", for_s=12.0)]

    def campaigns(self) -> list[CampaignStatus]:
        return [
            CampaignStatus(
                campaign="fbnet ann 1",
                queued=1,
                running=2,
                done=3,
                owner="ann@desk",
                stage="pass 2 of 6",
                phones=(("3f9a", 2), ("51bc", 1)),
            )
        ]


def test_a_farm_is_shown_with_who_holds_what_and_who_waits() -> None:
    lines: list[str] = []
    print_overview(overview(Seen()), lines.append)
    assert [" ".join(line.split()) for line in lines] == [
        "hosts",
        "shelf-1 heard of 2 s ago gives no phones (drained)",
        "phones",
        "3f9a Pixel 8 hot: 41.5 C, above 40 41.5 C ? % ann@desk for 32 s more shelf-1 usb 0A1B",
        "waiting",
        "bob@desk Pixel 8 12 s",
        "campaigns",
        "fbnet ann 1 ann@desk pass 2 of 6 3 parts done, 2 running, 1 queued 3f9a 2, 51bc 1",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (replace(ON, farm=None), "--farm-secret: only with --farm"),
        (replace(ON, farm=None, farm_secret=None, each_model=True), "--each-model: only with"),
        (replace(ON, farm=None, farm_secret=None, leave_out=("a",)), "--leave-out: only with"),
        (replace(ON, farm="nowhere"), "not HOST:PORT"),
        (replace(ON, model="Pixel 8", each_model=True), "exclude each other"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: FarmOptions, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        options.check()


def test_a_farm_is_for_android_phones_that_it_finds_itself() -> None:
    near = load_device("android").model_copy(update={"options": {"serial": "A"}})
    for device in (load_device("host"), load_device("iphone"), near):
        with pytest.raises(UsageError, match="--farm is for Android phones"):
            named_for_farm(device, ON)


def test_campaigns_of_two_models_of_a_farm_are_two_and_each_has_one_name(tmp_path: Path) -> None:
    pixel = load_device("pixel")
    assert named_for_farm(pixel, replace(ON, farm=None)) == pixel
    assert named_for_farm(pixel, replace(ON, model="Pixel 8 Pro")).name == "pixel-farm-pixel-8-pro"

    def campaign(**changes: Any) -> str:
        return str(on_farm(pixel, replace(ON, **changes), SETTINGS, tmp_path).options["campaign"])

    assert campaign() == campaign()
    assert campaign(model="Pixel 7") != campaign(model="Pixel 8")


def test_each_model_gets_the_command_and_its_lines_have_its_name() -> None:
    lines: list[str] = []
    code = measure_each(["Pixel 7", "Pixel 8"], ["--each-model", "--nonsense"], lines.append)
    assert code == 2
    assert lines[0] == "2 models: Pixel 7, Pixel 8"
    for model in ("Pixel 7", "Pixel 8"):
        assert any(line.startswith(f"{model}: ") and "--nonsense" in line for line in lines)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
@pytest.mark.parametrize("words", [["start"], ["join", "127.0.0.1:1"], ["status", "127.0.0.1:1"]])
def test_without_ray_a_farm_says_what_to_install(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profiler.cli.farm import verbs

    secret = tmp_path / "secret"
    secret.write_text("s" * 64)
    secret.chmod(0o600)
    verb: Any = getattr(verbs, words[0])
    with pytest.raises(UsageError, match=r"needs Ray.*pip install 'fbnet-kit\[farm\]'"):
        verb(*words[1:], secret=secret)
