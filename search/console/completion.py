"""Shell completion of the command lines.

A shell cannot complete `python -m profiler`, so the script defines a command
of that name: `profiler compare FB<Tab>` then runs `python -m profiler`.
"""

from search.errors import UsageError

MODULES = ("profiler", "search", "deploy")

# Typer's protocol: the words typed so far and the shell's name in the environment,
# suggestions on standard output.
_BASH = """\
{module}() {{ python -m {module} "$@"; }}
_{module}_complete() {{
  local IFS=$'\\n'
  COMPREPLY=($(COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD \\
    {variable}=complete_bash python -m {module} 2>/dev/null))
  return 0
}}
complete -o default -F _{module}_complete {module}
"""
_ZSH = """\
{module}() {{ python -m {module} "$@"; }}
_{module}_complete() {{
  eval $(_TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" \\
    {variable}=complete_zsh python -m {module} 2>/dev/null)
}}
compdef _{module}_complete {module}
"""
_FISH = """\
function {module}; python -m {module} $argv; end
complete --command {module} --no-files \\
  --arguments "(env {variable}=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
  _TYPER_COMPLETE_ARGS=(commandline -cp) python -m {module})" \\
  --condition "env {variable}=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args \\
  _TYPER_COMPLETE_ARGS=(commandline -cp) python -m {module}"
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def variable_of(module: str) -> str:
    """The environment variable by which a shell asks for suggestions."""
    return f"_{module.upper()}_COMPLETE"


def completion_script(shell: str) -> str:
    """A script that defines a command for each module and completes it.

    Raises:
        UsageError: Unknown shell.
    """
    if shell not in _SCRIPTS:
        raise UsageError(f"Unknown shell {shell!r}.", f"Known: {', '.join(_SCRIPTS)}.")
    parts = (_SCRIPTS[shell].format(module=m, variable=variable_of(m)) for m in MODULES)
    return "\n".join(parts)
