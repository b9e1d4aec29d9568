"""The verb `completion`: a shell's completion script."""

from typing import Annotated

import typer


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")] = "bash",
) -> None:
    """Print a shell's completion script: eval "$(python -m profiler completion bash)".

    \b
    Examples:
      eval "$(python -m profiler completion bash)"
      python -m profiler completion fish > ~/.config/fish/completions/kit.fish
    """
    from search.console.completion import completion_script

    typer.echo(completion_script(shell), nl=False)
