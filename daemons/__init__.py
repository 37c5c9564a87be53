"""One module a daemon: `python -m daemons.NAME`."""

import signal
import sys

if sys.argv[:1] == ["-m"]:
    # a daemon is just starting: SIGHUP (reload) would end it, until `service.entry` can take it; so it waits
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
