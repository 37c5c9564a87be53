"""Serves the page, HTTP and WebSockets: what the rig does now, and what it has recorded. It only looks."""

import gc
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from common.config.schema import Config, GatewayConfig
from common.errors import ConfigError, DeviceMissing, RigbusError
from common.runtime import Runtime
from common.secrets import Secret
from common.service import entry
from common.usage import rss_bytes

_NICE = 5  # looking never hurts acquisition
_OOM_SCORE = 500  # of 1000: where memory runs out, the gateway goes first


def run(rt: Runtime, cfg: GatewayConfig) -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would take memory for one on each core
    try:
        from common.gateway import app, server  # here: only who has a gateway needs these libraries
        from common.gateway.memory import Memory
        from common.gateway.site import open_site
        from common.gateway.tokens import Tokens
    except ImportError as e:
        raise DeviceMissing(
            f"{e.name or e}: not installed; the gateway needs the extra web", ".venv/bin/pip install -e '.[web]'"
        ) from None
    os.nice(_NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), "ascii")
    memory = Memory()
    gc.freeze()  # what the imports made lives for ever
    with ExitStack() as ending:
        listening = ending.enter_context(server.bind(cfg.host, cfg.port))
        is_local = server.is_loopback(listening)
        tokens = Tokens(*_secrets(rt, cfg, is_local=is_local), is_local=is_local)
        site = open_site(rt.config, cfg, rt.folders, rt.log, tokens, rt.publish)
        ending.callback(site.close)
        serving = server.Server(app.make(site), listening, rt.log, site.start)
        site.hang_up = serving.hang_up
        for name, part in (("server", serving), ("live", site.live), ("asker", site.asker)):
            rt.watch(name, part.rounds)
        serving.start()
        ending.callback(serving.stop)
        url = server.url_of(listening)
        rt.log.info(f"the page is at {url}" if cfg.dashboard else f"answers at {url}")

        def take(config: Config) -> None:
            tokens.take(*_secrets(rt, cfg, is_local=is_local))
            site.take(config)

        rt.on_reload(take)
        for _ in rt.every(1.0):
            memory.look(rss_bytes())
            viewers = site.viewers.count
            rt.details = {"url": url, "viewers": viewers}
            rt.say(f"{url}, {viewers} viewer{'' if viewers == 1 else 's'}")
            if not serving.alive:
                raise RigbusError("the server has ended")


def _secrets(rt: Runtime, cfg: GatewayConfig, *, is_local: bool) -> tuple[Secret, Secret]:
    """The tokens to look and to control. ConfigError: others can ask, and there is none; or it cannot be known."""
    read, control = rt.secrets.get("RIGBUS_READ_TOKEN"), rt.secrets.get("RIGBUS_CONTROL_TOKEN")
    if not (is_local or read or control):
        raise ConfigError(
            f"gateway.host = {cfg.host!r} is for others to reach: set RIGBUS_READ_TOKEN or RIGBUS_CONTROL_TOKEN"
        )
    if not (read or control) and (unread := rt.secrets.unread()):
        raise ConfigError(f"{unread} cannot be read: there may be tokens in it, so nobody is let in without one")
    return read, control


if __name__ == "__main__":
    sys.exit(entry("gateway", __doc__, lambda config: config.gateway, run))
