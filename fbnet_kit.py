"""The kit under a name of its own: `fbnet-kit`, and `python -m fbnet_kit`.

    fbnet-kit profile --device host     as python -m profiler
    fbnet-kit search ...                as python -m search
    fbnet-kit deploy ...                as python -m deploy
    fbnet-kit runtime ...               as python -m device_agents.runtime
    fbnet-kit rehearse ...              a stand-in for a phone, to try everything with
    fbnet-kit show TABLE ...            any other command: that of the profiler

The packages have common names: a `search.py` in the folder of a `python -m`
hides the package `search`. This module has no such name, and its command does
not look into the current folder.
"""

import os
import runpy
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

PACKAGES = ("search", "deploy", "device_agents", "profiler")
_REHEARSAL = "fbnet_kit_loopback"
PROGRAMS = {
    "profile": "profiler",
    "search": "search",
    "deploy": "deploy",
    "runtime": "device_agents.runtime",
    "rehearse": _REHEARSAL,
}
_PROFILER = "profiler"
_USAGE = 2


def hidden_packages(beside: Path, packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The kit's packages of which Python would import another one, each with its file.

    Nothing is imported. `beside` is the folder that the kit's own packages lie in.
    """
    found = {}
    for package in packages:
        spec = find_spec(package)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve() != (beside / package / "__init__.py").resolve():
            found[package] = origin or "nothing"
    return found


def refuse_hidden_packages() -> None:
    """Leave with a sentence where a file of the user's has the name of one of the packages."""
    hidden = hidden_packages(Path(__file__).parent)
    if not hidden:
        return
    package, origin = next(iter(hidden.items()))
    # Lines of 80 columns: what folds them is in a package that Python might not find.
    print(
        f"{origin}\nhides the kit's package {package!r}: Python finds it first.\n"
        "Rename it, run the kit in another folder, or call it by fbnet-kit, which does\n"
        "not look into the current folder: fbnet-kit profile, fbnet-kit search,\n"
        "fbnet-kit deploy.",
        file=sys.stderr,
    )
    sys.exit(_USAGE)


def _completed_program() -> str | None:
    """The program of a line that a shell is completing, made to see its own words alone."""
    shell = os.environ.pop("_FBNET_KIT_COMPLETE", None)
    if shell is None:
        return None
    variable, between = ("COMP_WORDS", "\n") if "bash" in shell else ("_TYPER_COMPLETE_ARGS", " ")
    words = os.environ.get(variable, "").split(between)
    program = PROGRAMS.get(words[1], _PROFILER) if len(words) > 1 else _PROFILER
    typed = int(os.environ.get("COMP_CWORD", len(words) - 1))
    if typed == 1 and variable == "COMP_WORDS":
        print("\n".join(name for name in PROGRAMS if name.startswith(words[1])))
    elif typed > 1 and words[1] in PROGRAMS:
        del words[1]
        os.environ["COMP_CWORD"] = str(typed - 1)
    os.environ[variable] = between.join(words)
    os.environ[f"_{program.upper()}_COMPLETE"] = shell
    return program


def main() -> NoReturn:
    """Hand the rest of the words to the program that the first one names."""
    refuse_hidden_packages()
    if (completed := _completed_program()) is not None:
        runpy.run_module(completed, run_name="__main__")
    name, words = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("--help", [])
    if name in ("-h", "--help"):
        print((__doc__ or "").strip())
        sys.exit(0)
    program = PROGRAMS.get(name)
    # A word that is no program is a command of the profiler, or its --version.
    sys.argv[1:] = words if program else [name, *words]
    if program == _REHEARSAL and find_spec(_REHEARSAL) is None:
        program = "tests.loopback"  # in a checkout that is not installed
    runpy.run_module(program or _PROFILER, run_name="__main__")
    raise AssertionError("a program leaves by itself")


if __name__ == "__main__":
    main()
