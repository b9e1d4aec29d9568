"""Run of a command line: errors become a sentence and an exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import typer

from search.console.completion import variable_of
from search.console.help import HELP_NAMES, PanelGroup
from search.console.plain import discard_output, plain_output
from search.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, KitError, UsageError

# An argument of thousands of characters is not repeated whole.
_MOST_SAID = 3000
FORMATS = ("table", "json", "csv")
# What `fbnet-kit` calls the programs.
SHORT_NAMES = {"profiler": "profile", "device_agents.runtime": "runtime"}
_OWN = ("search", "deploy", "device_agents", "profiler", "tests")
# The extra that brings a package, where it is not `profile`.
_EXTRAS = {"coremltools": "iphone"}


def check_format(output_format: str) -> None:
    """Refuse an output format that no command knows.

    Raises:
        UsageError: Unknown.
    """
    if output_format not in FORMATS:
        raise UsageError(f"Unknown --format {output_format!r}.", f"Known: {', '.join(FORMATS)}.")


def make_app(**settings: Any) -> typer.Typer:
    """A command line of the kit: `-h`, options in panels, and no writing into a shell's files.

    Its commands are to be made with `cls=PanelCommand`; `settings` are more ones of typer.
    """
    return typer.Typer(
        **settings,
        cls=PanelGroup,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP_NAMES,
    )


def run_app(
    app: typer.Typer, module: str, interrupted: str, *, bare_is_help: bool = True
) -> NoReturn:
    """Run a command line to its end and leave with its exit code.

    Args:
        app: The commands.
        module: Name after `python -m`, for usage and the hint after a wrong use.
        interrupted: Message after Ctrl-C: what is kept, and how to continue.
        bare_is_help: Without any word, print the help: hours of work begin by a word.
    """
    words = sys.argv[1:] or (["--help"] if bare_is_help else [])
    with plain_output(), _polite_kills():
        code = _written(_run(app, module, words))
        if code == EXIT_INTERRUPTED:
            _fail(interrupted, code)
        discard_output()
    sys.exit(code)


@lru_cache
def _command(app: typer.Typer) -> Any:
    """The commands and options that an app declares: read from its functions once."""
    return typer.main.get_command(app)


def _run(app: typer.Typer, module: str, words: list[str]) -> int:
    called = program_name(module)
    if variable_of(module) in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()  # as typer does for those who let it write into a shell's files
    try:
        # Without its standalone mode typer returns exit codes, 130 for Ctrl-C.
        result = _command(app)(
            args=words,
            prog_name=called,
            standalone_mode=False,
            complete_var=variable_of(module),
        )
    except KitError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # typer leaves this way, and only then, when the reader closed the pipe.
        return EXIT_OK
    except OSError as error:
        text = f"{error.filename or 'A file'}: {error.strerror or error}. Nothing was lost."
        return _fail(text, EXIT_USAGE)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        return _fail(missing, EXIT_USAGE)
    except MemoryError:
        return _fail("There is not enough memory for this. Nothing was lost.", EXIT_USAGE)
    except Exception as error:
        # typer's own usage errors have no public base class.
        if not hasattr(error, "format_message"):
            raise
        return _fail(f"{error.format_message()} See {called} --help.", EXIT_USAGE)
    return result if isinstance(result, int) else EXIT_OK


@contextlib.contextmanager
def _polite_kills() -> Iterator[None]:
    """A kill and a closed terminal interrupt as Ctrl-C does, so that a phone is left as it was."""
    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _written(code: int) -> int:
    """The exit code, once all output has left; another one where it could not."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code
    except OSError as error:
        return _fail(f"Cannot write the output: {error.strerror or error}.", code or EXIT_USAGE)
    return code


def _fail(text: str, code: int) -> int:
    # Nobody is left to be told where standard error cannot be written either.
    with contextlib.suppress(OSError):
        text = text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}..."
        typer.echo(text, err=True)
    return code


def program_name(module: str) -> str:
    """How this program was called, as it is to be typed again."""
    if Path(sys.argv[0]).name.startswith("fbnet-kit"):
        return f"fbnet-kit {SHORT_NAMES.get(module, module)}"
    return f"python -m {module}"


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What to install for a package that the base install leaves out; None for other modules."""
    package = (error.name or "").partition(".")[0]
    if not package or package in _OWN or package in sys.stdlib_module_names:
        return None
    extra = _EXTRAS.get(package, "profile")
    return (
        f"This needs the package {package}, which is not installed here. Install the kit with "
        f"its extra {extra!r}, in a checkout: pip install -e '.[{extra}]'"
    )
