"""Run of a command line: errors become a sentence and an exit code."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import typer

from search.console.completion import variable_of
from search.console.plain import discard_output, plain_output
from search.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, KitError, UsageError

# An argument of thousands of characters is not repeated whole.
_MOST_SAID = 3000
FORMATS = ("table", "json", "csv")


def check_format(output_format: str) -> None:
    """Refuse an output format that no command knows.

    Raises:
        UsageError: Unknown.
    """
    if output_format not in FORMATS:
        raise UsageError(f"Unknown --format {output_format!r}.", f"Known: {', '.join(FORMATS)}.")


def run_app(app: typer.Typer, module: str, interrupted: str) -> NoReturn:
    """Run a command line to its end and leave with its exit code.

    Args:
        app: The commands.
        module: Name after `python -m`, for the hint after a wrong use.
        interrupted: Message after Ctrl-C: what is kept, and how to continue.
    """
    with plain_output(), _polite_kills():
        code = _written(_run(app, module))
        if code == EXIT_INTERRUPTED:
            _fail(interrupted, code)
        discard_output()
    sys.exit(code)


def _run(app: typer.Typer, module: str) -> int:
    try:
        # Without its standalone mode typer returns exit codes, 130 for Ctrl-C.
        result = app(standalone_mode=False, complete_var=variable_of(module))
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
    except MemoryError:
        return _fail("There is not enough memory for this. Nothing was lost.", EXIT_USAGE)
    except Exception as error:
        # typer's own usage errors have no public base class.
        if not hasattr(error, "format_message"):
            raise
        return _fail(f"{error.format_message()} See python -m {module} --help.", EXIT_USAGE)
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
        typer.echo(text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}...", err=True)
    return code
