"""What holds for all tests: a busy machine is no reason for a property to fail, and Ctrl-C reaches what they start."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("rigbus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rigbus")

# a shell lets what it runs in the background ignore it, and that would be handed on to every process
signal.signal(signal.SIGINT, signal.default_int_handler)
