"""Batches to the server, and what each of its answers means: on, in parts, to quarantine, or not now."""

import re
import time
from typing import NamedTuple

from common.config.schema import InfluxConfig
from common.log import Log
from common.log_events import LogEvent
from common.sinks.influx.lines import Batch
from common.sinks.influx.server import Answer, Server
from common.sinks.output import NotNow

SMALLER_S = 600.0  # so long batches stay smaller after the server found one too large
_PROBE = b"# rigbus: are lines of this bucket looked at?\n"
_ADVICE = "`rigbus influx verify` tells what is wrong"
_TOLD = 100  # different reasons of refusals that are logged, at most


class Bad(NamedTuple):
    """A line that the server can never take, and its words."""

    row_id: int
    reason: str
    line: bytes


class Sender:
    """`send` one batch after the other."""

    def __init__(self, name: str, server: Server, config: InfluxConfig, log: Log) -> None:
        self._name, self._server, self._config, self._log = name, server, config, log
        self._most, self._most_until = config.batch, 0.0
        self._told: set[str] = set()
        self._last = ("", "")  # the last reason, without the numbers of its words, and with them

    def send(self, batch: Batch) -> list[Bad]:
        """All lines are with the server, or are in the result. Raises NotNow: some may be, and all are to come again.

        Where the server refuses some of a batch it is halved until they stand alone; what it took twice it has once.
        """
        if time.monotonic() >= self._most_until:
            self._most = self._config.batch
        bad: list[Bad] = []
        left = [batch]
        probed, fits = False, 0
        while left:
            part = left.pop()
            n = len(part.ids)
            if n == 0:
                continue
            if n > self._most:
                left += reversed(part.cut(self._most))
                continue
            answer = self._server.write(part.bucket, part.body)
            if answer.status in (400, 422) and not probed:
                self._check_request(part.bucket, answer)
                probed = True
            if answer.status in (0, 400, 413, 422):
                if n == 1 or (answer.status != 413 and _all_dropped(answer.words, n)):
                    bad += self._refused(part, answer)
                else:
                    left += reversed(part.cut(n // 2))
                    fits = fits or int(answer.status == 413)
            else:
                self._judge(answer, part.bucket)
                if fits:
                    fits = max(fits, n)
        if fits:  # something was too large; so much at once is not
            self._most, self._most_until = fits, time.monotonic() + SMALLER_S
        return bad

    def _refused(self, part: Batch, answer: Answer) -> list[Bad]:
        reason = f"{answer.status or 'refused'}: {answer.words or 'without a word'}"
        self._tell(reason)
        return [Bad(row, reason, line) for row, line in zip(part.ids, part.body.splitlines(), strict=True)]

    def _check_request(self, bucket: str, answer: Answer) -> None:
        """A request that holds but a comment, and is refused in the same words: it is not for the lines.

        So a wrong organisation, or a proxy that says 400 to all, is waited for, and puts no row into quarantine.
        """
        probe = self._server.write(bucket, _PROBE)
        if probe.status not in (400, 422):
            if probe.status not in (0, 413):
                self._judge(probe, bucket)
        elif _same(probe.words) == _same(answer.words):
            raise self._not_now(f"every request is refused ({answer.status})", answer.words, _ADVICE)

    def _judge(self, answer: Answer, bucket: str) -> None:
        """Raises NotNow for all but a success."""
        status, org = answer.status, self._config.org
        place = f"bucket {bucket}" + (f" of {org}" if org else "")
        if 200 <= status < 300:
            if answer.is_page:
                raise self._not_now("what answers is a web page, no InfluxDB", "", "see sink.influx.url")
            return
        if status in (401, 403):
            had = self._server.had_token
            self._server.forget_token()
            if not had:
                raise self._not_now(
                    f"the server wants a token ({status})", answer.words,
                    "`rigbus influx setup --save` makes one, or put INFLUX_WRITE_TOKEN into .env",
                )  # fmt: skip
            what = "the token is not accepted" if status == 401 else f"the token may not write into {place}"
            raise self._not_now(
                f"{what} ({status})", answer.words, "`rigbus influx setup --save` makes one that may write"
            )
        if status == 404:
            missing = self._not_now(f"there is no {place} (404)", answer.words, "`rigbus influx setup` makes it")
            missing.of_table = True  # others are for other buckets
            raise missing
        if status in (408, 429) or status >= 500:
            what = {429: "the server wants fewer requests", 503: "the server is not ready"}.get(status, "a fault there")
            raise self._not_now(f"{what} ({status})", answer.words if status not in (429, 503) else "", "", answer)
        if 300 <= status < 400:
            raise self._not_now(f"the server is elsewhere ({status})", "", "set sink.influx.url to the place itself")
        raise self._not_now(f"the request is refused ({status})", answer.words, _ADVICE)

    def _not_now(self, what: str, words: str, advice: str, answer: Answer | None = None) -> NotNow:
        """Where only numbers in its words have changed since the last time, the reason stays: one line in the log."""
        where = f"{self._server.name}: {what}"
        general = f"{where} {_same(words)}"
        if general != self._last[0]:
            said = (f": {words}" if words else "") + (f"; {advice}" if advice else "")
            self._last = (general, where + said)
        return NotNow(self._last[1], answer.wait_s if answer else None, needs_mending=bool(advice))

    def _tell(self, reason: str) -> None:
        """The first of its kind is a line in the log."""
        general = _same(reason)
        if general not in self._told and len(self._told) < _TOLD:
            self._told.add(general)
            text = f"{self._name}: refused rows go to quarantine (`rigbus quarantine list`)"
            self._log.error(text, event=LogEvent.QUARANTINE, also={"output": self._name}, reason=reason)


def _all_dropped(words: str, n: int) -> bool:
    """Whether the server itself counts all n lines as dropped: beyond the bucket's retention, conflicts of types."""
    found = re.search(r"\bdropped=(\d+)", words)
    return found is not None and int(found[1]) == n


def _same(words: str) -> str:
    """Without what may differ between two answers of one meaning: what is quoted, and numbers."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[0-9a-fA-F-]*\d[0-9a-fA-F-]*", "#", words)
