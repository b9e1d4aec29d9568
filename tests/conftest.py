"""Shared by all tests: a cache and a home of their own."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from device_agents.runtime.downloads import Downloads
    from device_agents.runtime.folder import Runtime

# The same examples in every run, so that a change is judged by its own faults;
# KIT_EXPLORE=1 draws new ones. No deadline: a busy machine is no fault.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if os.environ.get("KIT_EXPLORE") else "same")

# A shell starts background jobs with Ctrl-C ignored, nohup with hang-ups, and
# children inherit it: the tests that interrupt and hang up must work there too.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


# Files are written through to the disk against a loss of power, which no test brings about;
# thousands of times a run, it is what tests wait for.
os.fsync = lambda fd: None


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """State the order of this run first, so that a run that hangs can be repeated too."""
    _state_order(session.config)


# Files of half a minute and more. With several workers they begin first: begun last, one of
# them keeps a single worker busy while the others have nothing left to do.
LONG_FILES = (
    "contracts/test_agents.py",
    "contracts/test_exporters.py",
    "deploy/xnnpack/test_written.py",
    "hostile/test_documents.py",
    "hostile/test_tables.py",
    "profiler/analysis/test_slopes.py",
    "profiler/campaign/test_android_campaign.py",
    "profiler/campaign/test_arm64_phone.py",
    "profiler/campaign/test_interruption.py",
    "profiler/campaign/test_prepared_folder.py",
    "profiler/campaign/test_swift_agent.py",
    "profiler/report/test_page.py",
    "search/algorithms/test_planted.py",
    "search/cli/test_search_interruption.py",
    "search/training/test_distributed.py",
    "search/training/test_systems.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, in the random order that they have among each other."""
    folder = Path(__file__).parent
    long = {folder / name for name in LONG_FILES}
    items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(config: pytest.Config) -> None:
    """State it again at the end, beside the failures."""
    _state_order(config)


def _state_order(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    seed = config.getoption("randomly_seed", None)
    if reporter is not None and seed is not None and not hasattr(config, "workerinput"):
        reporter.write_line(f"random order; the same again: --randomly-seed={seed}")


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared facts, where they are present."""
    if not SHARED.is_dir():
        pytest.skip("the shared facts are not part of a checkout")
    return SHARED


@pytest.fixture(scope="session")
def phone_wheel() -> "Downloads":
    """The wheel of the phones' runtime, in the user's own cache."""
    from device_agents.runtime.downloads import Downloads
    from device_agents.runtime.targets import PHONE
    from search.errors import KitError

    downloads = Downloads(offline=None, say=lambda _: None)
    try:
        downloads.wheel(PHONE.wheel)
    except KitError as error:
        pytest.skip(f"the wheel cannot be had: {error}")
    return downloads


@pytest.fixture(scope="session")
def phone_runtime(phone_wheel: "Downloads") -> "Runtime":
    """The runtime for phones, made once in the user's own cache."""
    from device_agents.runtime.build import build
    from device_agents.runtime.compilers import find_cross_compiler
    from device_agents.runtime.folder import find
    from device_agents.runtime.targets import PHONE

    runtime = find(PHONE)
    if runtime is None and find_cross_compiler() is None:
        pytest.skip("no compiler for arm64 (Debian: apt install g++-aarch64-linux-gnu)")
    return runtime or build(PHONE, phone_wheel)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KIT_CACHE", str(folder))
    return folder
