"""Choice of the process that measures on this machine: which runner, of which runtime."""

import sys

from device_agents.base import AgentSettings, default_runtime
from device_agents.native import build as native
from device_agents.runtime.build import build as make_runtime
from device_agents.runtime.downloads import Downloads
from device_agents.runtime.folder import Runtime, find, hash_files, hash_folder
from device_agents.runtime.targets import HOST_KERNELS, Target, find_target
from search.errors import DeviceError, KitError, UsageError
from search.files import sha256_file

RUNNERS = ("auto", "native", "python")

Start = tuple[list[str], dict[str, str]]


def choose_runner(settings: AgentSettings) -> Start:
    """The words that start the runner, and the variables that it needs.

    Raises:
        UsageError: An unknown runner, or a runtime that this machine does not have.
        DeviceError: The runtime that was asked for cannot be made.
    """
    if settings.runner not in RUNNERS:
        raise UsageError(f"Unknown runner {settings.runner!r}.", f"Known: {', '.join(RUNNERS)}.")
    wished = settings.runtime
    chosen = default_runtime("host") if wished == "auto" else wished
    if settings.profile and settings.backend == "xnnpack":
        return _profiling(settings)
    from_wheels = settings.runner != "python" and settings.backend == "xnnpack"
    if wished == "ndk" or (wished == "wheels" and not from_wheels):
        raise UsageError(
            f"This machine has no runtime {wished!r} for the runner {settings.runner!r} and the "
            f"backend {settings.backend!r}.",
            "Known: wheels (native runner, xnnpack), installed.",
        )
    start = _from_wheels(settings) if chosen == "wheels" and from_wheels else None
    return start or _installed(settings)


def _installed(settings: AgentSettings) -> Start:
    built = native.find() if settings.backend == "xnnpack" else None
    if settings.runner == "native" and built is None:
        raise UsageError(
            "The native runner is not built for this toolchain and backend.",
            "Run python -m device_agents.native, or choose --runner python.",
        )
    if built is not None and settings.runner != "python":
        return [str(built), "--serve"], {"KIT_RUNNER_SHA256": sha256_file(built)}
    command = [sys.executable, "-m", "device_agents.host.python_runner", "--serve"]
    return command, {"OMP_NUM_THREADS": str(settings.threads)}


def _profiling(settings: AgentSettings) -> Start:
    """The runner that tells where time goes: that of the wheels, with kernels of all operators.

    The runtime that is installed with Python was built without its event tracer.
    """
    target = find_target(HOST_KERNELS)
    runtime = find(target) or make_runtime(target, Downloads(offline=None, say=settings.say))
    return _checked(target, runtime)


def _from_wheels(settings: AgentSettings) -> Start | None:
    """The runner of the runtime from wheels, made first where there is none yet.

    None where it is only the default and cannot be made: another runner will do.
    """
    try:
        target = find_target("host")
        runtime = find(target) or make_runtime(target, Downloads(offline=None, say=settings.say))
    except KitError as error:
        if settings.runtime == "wheels" or settings.runner == "native":
            raise
        settings.say(f"{error} Going on without it.")
        return None
    return _checked(target, runtime)


def _checked(target: Target, runtime: Runtime) -> Start:
    """The words that start a runtime's runner, if its files are those that were made."""
    if hash_folder(hash_files(runtime.path)) != runtime.sha256:
        raise DeviceError(
            f"{runtime.path} changed since it was made.",
            f"Make it again: python -m device_agents.runtime --target {target.name} --rebuild.",
        )
    return [*target.command(str(runtime.path)), "--serve"], {"KIT_RUNNER_SHA256": runtime.sha256}
