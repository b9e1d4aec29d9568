"""Shell completion of the command lines.

A shell cannot complete `python -m profiler`, so the script defines a command
of that name: `profiler compare FB<Tab>` then runs `python -m profiler`.
"""

from search.errors import UsageError

MODULES = ("profiler", "search", "deploy")

# The command that needs no such help, where it is installed.
KIT = "fbnet-kit"

# Typer's protocol: the words typed so far and the shell's name in the environment,
# suggestions on standard output.
_BASH = """\
_{function}_complete() {{
  local IFS=$'\\n'
  COMPREPLY=($(COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD \\
    {variable}=complete_bash {call} 2>/dev/null))
  return 0
}}
complete -o default -F _{function}_complete {name}
"""
_ZSH = """\
_{function}_complete() {{
  eval $(_TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" \\
    {variable}=complete_zsh {call} 2>/dev/null)
}}
compdef _{function}_complete {name}
"""
_FISH = """\
complete --command {name} --no-files \\
  --arguments "(env {variable}=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
  _TYPER_COMPLETE_ARGS=(commandline -cp) {call})" \\
  --condition "env {variable}=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args \\
  _TYPER_COMPLETE_ARGS=(commandline -cp) {call}"
"""
_WRAPPER = '{module}() {{ python -m {module} "$@"; }}\n'
_FISH_WRAPPER = "function {module}; python -m {module} $argv; end\n"
_SCRIPTS = {"bash": (_WRAPPER, _BASH), "zsh": (_WRAPPER, _ZSH), "fish": (_FISH_WRAPPER, _FISH)}


def variable_of(module: str) -> str:
    """The environment variable by which a shell asks for suggestions."""
    return f"_{module.upper().replace('-', '_')}_COMPLETE"


def completion_script(shell: str) -> str:
    """A script that defines a command for each module and completes it, and `fbnet-kit`.

    Raises:
        UsageError: Unknown shell.
    """
    if shell not in _SCRIPTS:
        raise UsageError(f"Unknown shell {shell!r}.", f"Known: {', '.join(_SCRIPTS)}.")
    wrapper, completing = _SCRIPTS[shell]
    parts = [
        wrapper.format(module=module) + _filled(completing, module, f"python -m {module}")
        for module in MODULES
    ]
    return "\n".join([*parts, _filled(completing, KIT, KIT)])


def _filled(script: str, name: str, call: str) -> str:
    function = name.replace("-", "_")
    return script.format(name=name, call=call, function=function, variable=variable_of(name))
