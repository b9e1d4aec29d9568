"""The packages of a wheel; everything else stands in pyproject.toml.

The loopback device lies among the tests and goes along under a name of its own: `tests`
would collide with everybody's.
"""

from setuptools import find_packages, setup

PACKAGES = ["search", "deploy", "device_agents", "profiler"]

setup(
    packages=[
        *find_packages(
            include=[name for package in PACKAGES for name in (package, f"{package}.*")]
        ),
        "fbnet_kit_loopback",
    ],
    package_dir={"fbnet_kit_loopback": "tests/loopback"},
)
