"""An InfluxDB 2 as set-up sees it: influxdb-client's requests, plain rows back, a failure one line without a token."""

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from influxdb_client import (
    AuthorizationPostRequest,
    AuthorizationsService,
    BucketRetentionRules,
    BucketsService,
    HealthService,
    InfluxDBClient,
    OrganizationsService,
    PatchBucketRequest,
    PatchRetentionRule,
    Permission,
    PermissionResource,
    PostBucketRequest,
    TaskCreateRequest,
    TasksService,
    TaskUpdateRequest,
    WriteService,
)
from influxdb_client.rest import ApiException
from msgspec import Struct

from common.errors import InfluxError
from common.influx import words
from common.secrets import Secret

_PAGE, _PAGES = 100, 100  # a server that pages for ever is none
T = TypeVar("T")
Grant = tuple[str, str | None]  # action, bucket id; None: every bucket


class Bucket(Struct, frozen=True):
    """retention_s: 0 keeps for ever."""

    id: str
    name: str
    retention_s: int


class Task(Struct, frozen=True):
    """error: of its last run, "" where that went well."""

    id: str
    name: str
    flux: str
    active: bool
    error: str


class Authorization(Struct, frozen=True):
    """token: empty where the server shows tokens at their creation only. grants: None if they are more than buckets."""

    id: str
    description: str
    active: bool
    token: Secret
    grants: frozenset[Grant] | None


class Health(Struct, frozen=True):
    """ahead_s: the server's clock against this one, to about a second; None where it does not say the time."""

    version: str
    ahead_s: float | None


class Server:
    """One server with one token. Every method raises InfluxError, a line that holds no token.

    InfluxError.status is None where the server did not answer, or not as InfluxDB 2 does.
    """

    def __init__(self, url: str, org: str, token: Secret, timeout_s: float) -> None:
        self._org, self._token, self._org_id = org, token, ""
        try:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError(url)
            retries = urllib3.Retry(0, redirect=False)  # a redirect would carry the token to another place
            client = InfluxDBClient(
                url, token.reveal() or "none", org=org, timeout=int(timeout_s * 1000), retries=retries
            )
        except (ValueError, TypeError, AttributeError, urllib3.exceptions.HTTPError):
            raise InfluxError("INFLUX_HOST is no address: http://host:8086 is one") from None
        self._client, self._api = client, client.api_client

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def health(self) -> Health:
        """Of any token or none."""
        began = time.time()

        def ask() -> tuple[str, str, str, str, Any]:
            health, _, headers = HealthService(self._api).get_health_with_http_info(_return_http_data_only=False)
            told = (health.name, health.status, health.version or "", health.message or "")
            return *(self._words(text) for text in told), headers

        try:
            name, status, version, message, headers = self._call(ask)
        except InfluxError as e:
            if e.status == 404:  # influxd 1.6
                raise InfluxError("answers, but not as InfluxDB 2 does: it has no /health") from None
            raise
        if name != "influxdb" or version.lstrip("v").startswith("1."):
            raise InfluxError(f"answers, but not as InfluxDB 2 does (/health says {name} {version})")
        if status != "pass":
            raise InfluxError(f"is not well: {message}")
        try:
            ahead = parsedate_to_datetime(headers["Date"]).timestamp() + 0.5 - (began + time.time()) / 2
        except (KeyError, ValueError, TypeError):
            ahead = None
        return Health(version or "of an unknown version", ahead)

    def org_id(self) -> str:
        """Asked for once."""
        if not self._org_id:
            if not self._org:
                raise InfluxError("INFLUX_ORG is not set", 404)
            service = OrganizationsService(self._api)
            ids = self._call(lambda: [str(o.id) for o in service.get_orgs(org=self._org).orgs if o.name == self._org])
            if not ids:
                raise InfluxError(f"no organization {self._org!r} that this token may see", 404)
            self._org_id = ids[0]
        return self._org_id

    # ---- buckets

    def buckets(self) -> list[Bucket]:
        """Those that the token may read, without the server's own."""
        org_id, service = self.org_id(), BucketsService(self._api)
        pages = self._paged(lambda **page: service.get_buckets(org_id=org_id, **page).buckets)

        def kept_s(bucket: Any) -> int:
            return sum(int(rule.every_seconds or 0) for rule in bucket.retention_rules or ())

        return self._call(lambda: [Bucket(str(b.id), str(b.name), kept_s(b)) for b in pages if b.type != "system"])

    def readable(self) -> set[str]:
        """The names of the buckets that the token may read; it need not see the organization, as `buckets` must."""
        service = BucketsService(self._api)
        pages = self._paged(lambda **page: service.get_buckets(**page).buckets)
        return self._call(lambda: {str(bucket.name) for bucket in pages})

    def create_bucket(self, name: str, retention_s: int) -> Bucket:
        rules = [BucketRetentionRules(type="expire", every_seconds=retention_s)]
        wanted = PostBucketRequest(org_id=self.org_id(), name=name, description="rigbus", retention_rules=rules)
        made = self._call(lambda: BucketsService(self._api).post_buckets(wanted))
        return Bucket(self._id(made), name, retention_s)

    def set_retention(self, bucket: Bucket, retention_s: int) -> None:
        wanted = PatchBucketRequest(retention_rules=[PatchRetentionRule(type="expire", every_seconds=retention_s)])
        self._call(lambda: BucketsService(self._api).patch_buckets_id(bucket.id, wanted))

    def delete_bucket(self, bucket: Bucket) -> None:
        self._call(lambda: BucketsService(self._api).delete_buckets_id(bucket.id))

    def may_write(self, bucket: str) -> str:
        """Why the token may not write to this bucket; "" if it may. Nothing is written: the request has no points."""
        try:
            self._call(lambda: WriteService(self._api).post_write(self._org, bucket, body=b""))
        except InfluxError as e:
            if e.status == 400:  # "writing requires points": said after the token and the bucket were looked at
                return ""
            if e.status in (401, 403, 404):
                return str(e)
            raise
        return ""

    # ---- tasks

    def has_tasks(self) -> bool:
        """Whether the server has Flux tasks at all."""
        try:
            self._call(lambda: TasksService(self._api).get_tasks(limit=1))
        except InfluxError as e:
            if e.status == 404:
                return False
            raise
        return True

    def tasks(self) -> list[Task]:
        org_id, service = self.org_id(), TasksService(self._api)
        pages = self._paged(lambda **page: service.get_tasks(org_id=org_id, **page).tasks, after=True)

        def row(task: Any) -> Task:
            failed = task.last_run_status == "failed"
            error = self._words(task.last_run_error or "it does not say why") if failed else ""
            return Task(str(task.id), str(task.name), str(task.flux or ""), task.status == "active", error)

        return self._call(lambda: [row(task) for task in pages])

    def create_task(self, flux: str) -> None:
        wanted = TaskCreateRequest(org_id=self.org_id(), flux=flux, status="active", description="rigbus")
        self._id(self._call(lambda: TasksService(self._api).post_tasks(wanted)))

    def update_task(self, task: Task, flux: str | None = None, active: bool = True) -> None:
        wanted = TaskUpdateRequest(status="active" if active else "inactive", flux=flux)
        self._call(lambda: TasksService(self._api).patch_tasks_id(task.id, wanted))

    def delete_task(self, task: Task) -> None:
        self._call(lambda: TasksService(self._api).delete_tasks_id(task.id))

    # ---- authorizations

    def authorizations(self) -> list[Authorization]:
        org_id, service = self.org_id(), AuthorizationsService(self._api)
        found = self._call(lambda: list(service.get_authorizations(org_id=org_id).authorizations))
        return [self._authorization(a) for a in found]

    def authorize(self, description: str, grants: frozenset[Grant]) -> Authorization:
        """Its token is shown by the server now, and perhaps never again."""
        org_id = self.org_id()
        permissions = [
            Permission(action, PermissionResource(type="buckets", id=bucket, org_id=org_id))
            for action, bucket in sorted(grants, key=str)
        ]
        wanted = AuthorizationPostRequest(org_id=org_id, description=description, permissions=permissions)
        made = self._call(lambda: AuthorizationsService(self._api).post_authorizations(wanted))
        self._id(made)
        return self._authorization(made)

    def delete_authorization(self, authorization: Authorization) -> None:
        self._call(lambda: AuthorizationsService(self._api).delete_authorizations_id(authorization.id))

    # ---- how

    def _authorization(self, a: Any) -> Authorization:
        def rows() -> Authorization:
            resources = [(str(p.action), p.resource) for p in a.permissions or ()]
            only_buckets = all(resource.type == "buckets" for _, resource in resources)
            grants = frozenset((action, resource.id) for action, resource in resources) if only_buckets else None
            return Authorization(a.id, a.description or "", a.status != "inactive", Secret(a.token or "", ""), grants)

        return self._call(rows)

    def _paged(self, ask: Callable[..., Any], *, after: bool = False) -> Iterator[Any]:
        """after: pages begin after an id; else at an offset."""
        last, offset = None, 0
        for _ in range(_PAGES):
            place = ({"after": last} if last else {}) if after else {"offset": offset}
            page = self._call(lambda place=place: list(ask(limit=_PAGE, **place)))  # type: ignore[misc]
            yield from page
            if len(page) < _PAGE:
                return
            last, offset = page[-1].id, offset + len(page)
        raise InfluxError("does not answer as InfluxDB 2 does: its lists do not end")

    def _call(self, ask: Callable[[], T]) -> T:
        """influxdb-client's errors show headers and bodies: nothing of them but the server's own message is kept."""
        try:
            return ask()
        except ApiException as e:
            raise InfluxError(words.refused(e, self._token), e.status) from None
        except urllib3.exceptions.HTTPError as e:
            raise InfluxError(words.unreachable(e)) from None
        except (AttributeError, TypeError, ValueError, KeyError):
            raise InfluxError("answers, but not as InfluxDB 2 does") from None

    def _words(self, text: object) -> str:
        return words.line(text, self._token)

    def _id(self, made: Any) -> str:
        found = getattr(made, "id", None)
        if not isinstance(found, str) or not found:
            raise InfluxError("answers, but not as InfluxDB 2 does: what it made has no id")
        return found
