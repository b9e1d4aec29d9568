"""The verb `completion`: parse, call, print."""

from typing import Annotated

import typer


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")] = "bash",
) -> None:
    """Print a shell's completion script: eval "$(python -m profiler completion bash)"."""
    from search.console.completion import completion_script

    typer.echo(completion_script(shell), nl=False)
