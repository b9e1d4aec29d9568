"""The cache folder: what is built once and used by later runs."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """The cache folder: $KIT_CACHE, or the user's cache folder for the kit."""
    chosen = os.environ.get("KIT_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("fbnet-kit"))
