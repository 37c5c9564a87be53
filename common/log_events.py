"""Kinds of events in the log: the MESSAGE_ID that journald keeps with a line. docs/logs.md says what each one means.

An id is never changed and never used again: scripts and alarms look for it.
"""

from enum import Enum


class LogEvent(Enum):
    """value: 128 bits, hex. RIGBUS_EVENT is the member's name in lower case."""

    # a daemon's life
    START = "f553a2be1f334c1fb2d8d01f8eac4318"
    READY = "8f47ff7a0ab24df1a1cd66a3dae3fa5c"
    STOP = "5934eb7f68fd44e69d12ebfafe3ee6ec"
    FAILED = "38e75185d51a4914b08d0af7001a3e24"
    HUNG = "c1ba9b5f6f4c4ff0a3a4a7c64ae92f1e"
    # configuration
    CONFIG_REFUSED = "97f4de49da5147188570023093a9a43e"
    RELOADED = "38751773d8d34993885e4cb180aa6b22"
    NEEDS_RESTART = "c51c2e5fd4ef44ec98667c9342aeec8c"
    # devices
    DEVICE_LOST = "ff5463179f8c4c3cb5b286bd3eabd0cf"
    DEVICE_BACK = "3d8400f03beb4c79bea8103c73ddbbf8"
    DEVICE_REBOOTED = "e21fb9017ac7494a81de7ace588bb59d"
    # what is lost
    LOSS = "7c638a9613b54416b485128035f4f81b"
    FRAMES_LOST = "84419b2589fa43398c4831b5acbb8aee"
    JOURNAL_FULL = "ce6f0f85fa594c628d5759983b5a8728"
    JOURNAL_OK = "52cecf916d294ab4b85a2b9b4cf66a85"
    # the store and its outputs
    CATCH_UP = "f7e4916f5a704ca88a722f85928ad973"
    CAUGHT_UP = "2d017d8eb6c14c9291c59edbc59c2793"
    STORE_REFUSES = "9fba4b06bf304352ae67ccd03cfcd3f5"
    STORE_OK = "0fde002347d94b329de6a0f34a79e240"
    OUTPUT_AWAY = "98012379126e4163a4932ac71c29e3de"
    OUTPUT_BACK = "8f34989ac49c4fa4b2572f3786c8222d"
    OUTPUT_BEHIND = "ac388fd2f671411d85ae92e44330adcd"
    OUTPUT_CAUGHT_UP = "d06bf4ed8def41e99cf543f7b0977d90"
    QUARANTINE = "d32c15588e3b4a6993a5c2818394eeb6"
    DISK_FULL = "f48769e26c3d4ac197737a3571806b54"
    DISK_OK = "f30ca885d50d422f975e27e27ef1b2bf"
    # the clock
    CLOCK_STEP = "c79d2ebdc13b4619a436883f8f688ff5"
    CLOCK_UNSET = "97acf4e15d4f417a8b73e6e946b44f24"
    CLOCK_SET = "b55b7777180b46399b41a52a65a28829"
    RETIMED = "0c7e18a8c70149d6b35b592dbd280714"
    # what moves
    ESTOP = "3427d9896a3246539ec15b4ad710e800"
    UNLOCKED = "7ae8f2cb65cd41118b24869875a45ead"
    LATCH_UNSAVED = "badaf13e3a5e479aa2b3354ed97680a5"
    PUMP_RUN = "f444d2df456043469a6d8f24528b7db2"
    PUMP_OUTCOME = "f7504f35f42b4fc38b78e85abcc426f2"
    PUMP_REFUSED = "0d9b6b16b61d42aab5db9b984f89d911"
