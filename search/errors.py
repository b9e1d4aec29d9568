"""The kit's one error tree.

    KitError                 carries a remedy and an exit code
      Stable                 the same call would fail again; stops with a remedy
        UsageError           wrong argument, unknown name (exit 2)
        GateFailed           a result is not good enough (exit 1)
        TableError           a table that cannot be trusted or read
          MissingOperator    a key that the table does not hold
        ExportError          an operator could not become a file
        StorageError         a disk is full or cannot be written
        DeviceError          the device cannot do what the run needs (exit 3)
      Transient              may pass on another try; retried with a bound
        DeviceLost           the runner or the cable went away (exit 3)
        DeviceTimeout        no answer within the time-out (exit 3)

Retry is decided by type alone: `Transient` is retried, `Stable` is not.
"""

EXIT_OK = 0
EXIT_GATE = 1
EXIT_USAGE = 2
EXIT_DEVICE = 3
EXIT_INTERRUPTED = 130


class KitError(Exception):
    """Something went wrong that the user can be told about in two sentences.

    Args:
        message: What was wrong.
        remedy: What to do next; empty only where nothing can be done.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Stable(KitError):
    """The same call would fail again."""


class Transient(KitError):
    """Another try may succeed; callers retry with a bound."""

    exit_code = EXIT_DEVICE


class UsageError(Stable):
    """An argument, name or file given by the user is wrong."""


class GateFailed(Stable):
    """A measurement finished but is not good enough to be used."""

    exit_code = EXIT_GATE


class TableError(Stable):
    """A table cannot be read, or must not be trusted."""


class MissingOperator(TableError):
    """The table holds no usable row for an operator."""


class ExportError(Stable):
    """An operator or network could not be turned into a file, or failed its check."""


class StorageError(Stable):
    """Nothing more can be written; what was written is kept."""


class DeviceError(Stable):
    """The device is there but cannot do what the run needs."""

    exit_code = EXIT_DEVICE


class DeviceLost(Transient):
    """The runner died or the connection broke before the run was complete."""


class ConnectionLost(DeviceLost):
    """The way to the device broke off; nothing that ran there is to blame."""


class DeviceTimeout(Transient):
    """The device did not answer in time."""
