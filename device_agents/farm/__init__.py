"""Who may use which phone of a shelf, and until when: leases, fences, health, results.

Pure Python without a network: whatever carries the calls between hosts stands above it.
"""
