"""`python -m deploy`."""

from fbnet_kit import refuse_hidden_packages

refuse_hidden_packages()

from deploy.cli import main  # noqa: E402 (a foreign module would be executed before)

main()
