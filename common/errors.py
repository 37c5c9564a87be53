"""Every error that rigbus raises on purpose, and the exit code it ends a process with.

RigbusError           1   the answer is no, or the work failed
├── UsageError        2   a wrong command line
├── DeviceMissing    69   a configured device, or the library for it, is not there
├── ConfigError      78   a bad configuration (systemd does not restart on it)
├── InfluxError       1   the InfluxDB server cannot be reached, or refused; status: HTTP's, where it answered
├── JournalError      1   the journal cannot be opened at all
├── NoAnswer          1   a daemon was asked and did not answer in time: nobody can say whether it did what was asked
├── Refused           1   a daemon answered no; error: refused, malformed, unknown_op or failed (docs/ctl.md)
└── StoreError        1   the database refused; the sink rolls back and tries again
    └── PoisonError   1   one item can never be stored; the sink sets it aside and goes on

The message is one line that says where and what: it is shown to the user as it is, without a traceback.
"""


class RigbusError(Exception):
    exit_code = 1


class UsageError(RigbusError):
    exit_code = 2


class DeviceMissing(RigbusError):
    """mend: the one command that would mend it, where there is one (for `rigbus doctor`)."""

    exit_code = 69

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


class ConfigError(RigbusError):
    exit_code = 78


class InfluxError(RigbusError):
    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class JournalError(RigbusError):
    pass


class NoAnswer(RigbusError):
    pass


class Refused(RigbusError):
    def __init__(self, message: str, error: str = "refused") -> None:
        super().__init__(message)
        self.error = error


class StoreError(RigbusError):
    pass


class PoisonError(StoreError):
    pass
