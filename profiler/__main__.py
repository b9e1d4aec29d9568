"""`python -m profiler`."""

from fbnet_kit import refuse_hidden_packages

refuse_hidden_packages()

from profiler.cli.app import main  # noqa: E402 (a foreign module would be executed before)

main()
