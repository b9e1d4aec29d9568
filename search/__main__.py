"""`python -m search`."""

from search.cli.app import main
from search.training.compute.allocator import keep_freed_memory

# Only in a process of our own, and before the first step: a supernet on the CPU
# then takes a quarter less time.
keep_freed_memory()
main()
