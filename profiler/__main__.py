"""`python -m profiler`."""

from profiler.cli.app import main

main()
