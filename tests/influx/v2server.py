"""A server shaped as InfluxData's published API of InfluxDB 2, for tests: what is written goes to a real influxd 1.x.

Organisations, buckets, tasks and authorizations live in memory, checked by token as InfluxDB 2 does it. Each bucket is
a database of the influxd (by the bucket's name, with its retention); without one, lines are kept in `lines`. Flux is
kept and never run. One difference is known: of a batch with a line that cannot be parsed influxd 1.x stores the good
lines, InfluxDB 2 none.

    with V2Server(influxd="http://127.0.0.1:8086") as server:
        server.url, server.org, server.admin_token
"""

import argparse
import http.client
import json
import re
import secrets
import threading
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from urllib.parse import quote, urlencode, urlsplit

from v2http import CODES, Handler, Refusal

TYPES = ("authorizations", "buckets", "dashboards", "orgs", "tasks", "telegrafs", "users", "variables")
_PRECISIONS = {"ns": "ns", "us": "u", "ms": "ms", "s": "s"}  # influxd 1.x takes "us" as ns


class V2Server:
    """What tests may set at any time:

    flux          False: no tasks and no queries, as a server without Flux (404)
    shows_tokens  False: a token is in the answer to its creation only, as where tokens are stored hashed
    date_offset_s the server's clock, seconds ahead of this one
    answers       (method, path) → (status, body, content type): said instead, without looking further
    `exchanges` has every request: (method, path, query, request document, status, answer document).
    """

    def __init__(self, influxd=None, org="rig", port=0):
        self.influxd, self.org = influxd, org
        self.flux, self.shows_tokens, self.date_offset_s, self.answers = True, True, 0.0, {}
        self.lines, self.exchanges = {}, []
        self.orgs, self.buckets, self.tasks, self.authorizations = {}, {}, {}, {}
        self._local, self.lock = threading.local(), threading.RLock()
        self.org_id = self._add_org(org)
        self.admin_token = self.authorize(
            "admin's Token", [permission(action, kind) for action in ("read", "write") for kind in TYPES]
        )["token"]
        handler = type("Handler", (Handler,), {"server2": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._close_v1()

    def _close_v1(self):
        """This thread's connection to the influxd."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()

    # ---- what is there; these are for tests too

    def _add_org(self, name):
        org_id = secrets.token_hex(8)
        links = {"self": f"/api/v2/orgs/{org_id}", "buckets": f"/api/v2/buckets?org={quote(name)}"}
        self.orgs[org_id] = {"id": org_id, "name": name, "description": "", **_stamps(), "links": links}
        for system in ("_monitoring", "_tasks"):
            self.add_bucket(system, 7 * 86400, org_id=org_id, kind="system")
        return org_id

    def add_bucket(self, name, every_s, org_id=None, kind="user", description=""):
        bucket_id = secrets.token_hex(8)
        links = {"self": f"/api/v2/buckets/{bucket_id}", "write": f"/api/v2/write?bucket={bucket_id}"}
        self.buckets[bucket_id] = {
            "id": bucket_id, "orgID": org_id or self.org_id, "type": kind, "name": name, "description": description,
            "retentionRules": _rules(every_s), **_stamps(), "links": links, "labels": [],
        }  # fmt: skip
        if kind == "user":
            self._v1_query(f'CREATE DATABASE "{_v1(name)}" WITH DURATION {every_s}s REPLICATION 1 NAME "autogen"')
        return self.buckets[bucket_id]

    def bucket(self, name):
        return next((b for b in self.buckets.values() if name in (b["name"], b["id"])), None)

    def add_task(self, flux, status="active", description=""):
        options = dict(re.findall(r'(name|every|offset):\s*("(?:[^"\\]|\\.)*"|\w+)', _option(flux)))
        if "name" not in options or "every" not in options:
            raise Refusal(400, "missing required option")
        task_id, name = secrets.token_hex(8), json.loads(options["name"])
        self.tasks[task_id] = {
            "id": task_id, "orgID": self.org_id, "org": self.org, "ownerID": "00" * 8, "name": name,
            "description": description, "status": status, "flux": flux, "every": options["every"],
            "offset": options.get("offset", "0s"), "latestCompleted": _now(), **_stamps(), "labels": [],
            "links": {"self": f"/api/v2/tasks/{task_id}", "runs": f"/api/v2/tasks/{task_id}/runs"},
        }  # fmt: skip
        return self.tasks[task_id]

    def authorize(self, description, permissions, status="active"):
        auth_id = secrets.token_hex(8)
        for permission in permissions:
            permission["resource"].setdefault("orgID", self.org_id)
        self.authorizations[auth_id] = {
            "id": auth_id, "token": secrets.token_urlsafe(64) + "==", "status": status, "description": description,
            "orgID": self.org_id, "org": self.org, "userID": "00" * 8, "user": "admin", "permissions": permissions,
            **_stamps(), "links": {"self": f"/api/v2/authorizations/{auth_id}", "user": "/api/v2/users/" + "00" * 8},
        }  # fmt: skip
        return self.authorizations[auth_id]

    # ---- requests; each returns (status, document or None)

    def who(self, header):
        scheme, _, token = header.partition(" ")
        found = [a for a in self.authorizations.values() if a["token"] == token and scheme in ("Token", "Bearer")]
        if not found:
            raise Refusal(401, "unauthorized access")
        if found[0]["status"] != "active":
            raise Refusal(401, "token is inactive")
        return found[0]

    def may(self, who, action, kind, resource_id=None):
        return any(
            p["action"] == action and p["resource"]["type"] == kind and p["resource"].get("id") in (None, resource_id)
            for p in who["permissions"]
        )

    def need(self, who, action, kind, resource_id=None):
        if not self.may(who, action, kind, resource_id):
            place = f"orgs/{self.org_id}/{kind}" + (f"/{resource_id}" if resource_id else "")
            raise Refusal(401, f"{action}:{place} is unauthorized")

    def handle(self, method, path, query, body, header):
        part = path.strip("/").split("/")[2:]
        kind, one = part[0], part[1] if len(part) > 1 else None
        if kind in ("tasks", "query") and not self.flux:
            raise Refusal(404, "path not found")
        who = self.who(header)
        if kind == "orgs":
            return self._list_orgs(who, query)
        if kind == "query":
            raise Refusal(501, "this is a fixture: it has no Flux")
        if kind not in ("buckets", "tasks", "authorizations"):
            raise Refusal(404, "path not found")
        things = getattr(self, kind)
        if one is None and method == "GET":
            return 200, {"links": {"self": path}, kind: self._list(who, kind, query)}
        if one is None and method == "POST":
            self.need(who, "write", kind)
            return 201, getattr(self, f"_post_{kind}")(who, body)
        if one is None or method not in ("GET", "PATCH", "DELETE"):
            raise Refusal(405, "method not allowed")
        if not re.fullmatch(r"[0-9a-f]{16}", one):
            raise Refusal(400, "id must have a length of 16 bytes")
        if one not in things:
            raise Refusal(404, f"{kind[:-1]} not found")
        self.need(who, "read" if method == "GET" else "write", kind, one)
        if method == "DELETE":
            gone = things.pop(one)
            if kind == "buckets":
                self.lines.pop(gone["name"], None)
                self._v1_query(f'DROP DATABASE "{_v1(gone["name"])}"')
            return 204, None
        if method == "PATCH":
            self._patch(kind, things[one], body)
        return 200, self._shown(things[one])

    def _list_orgs(self, who, query):
        found = [o for o in self.orgs.values() if query.get("org", o["name"]) == o["name"]]
        if not found:
            raise Refusal(404, f'organization name "{query["org"]}" not found')
        found = [o for o in found if self.may(who, "read", "orgs", o["id"])]
        return 200, {"links": {"self": "/api/v2/orgs"}, "orgs": found}

    def _list(self, who, kind, query):
        found = [t for t in getattr(self, kind).values() if self.may(who, "read", kind, t["id"])]
        for key, field in (("orgID", "orgID"), ("name", "name"), ("id", "id"), ("status", "status")):
            found = [t for t in found if query.get(key, t.get(field)) == t.get(field)]
        if kind == "buckets" and "name" in query and not found:
            raise Refusal(404, f'bucket "{query["name"]}" not found')
        if kind == "authorizations":  # not paged
            return [self._shown(t) for t in found]
        limit, offset = int(query.get("limit", 20 if kind == "buckets" else 100)), int(query.get("offset", 0))
        if not 1 <= limit <= (100 if kind == "buckets" else 500):
            raise Refusal(422 if kind == "buckets" else 400, "limit is out of range")
        if "after" in query:
            offset = next((n + 1 for n, t in enumerate(found) if t["id"] == query["after"]), len(found))
        return [self._shown(t) for t in found[offset : offset + limit]]

    def _post_buckets(self, who, body):
        if body["orgID"] not in self.orgs:
            raise Refusal(404, "organization not found")
        if self.bucket(body["name"]):
            raise Refusal(422, f"bucket with name {body['name']} already exists", "conflict")
        if body["name"].startswith("_") or '"' in body["name"]:
            raise Refusal(400, f"bucket name {body['name']} is invalid")
        every_s = body["retentionRules"][0]["everySeconds"] if body.get("retentionRules") else 0
        if 0 < every_s < 3600:
            raise Refusal(422, "expiration seconds must be greater than or equal to one hour")
        return self.add_bucket(body["name"], every_s, description=body.get("description", ""))

    def _post_tasks(self, who, body):
        return self.add_task(body["flux"], body.get("status", "active"), body.get("description", ""))

    def _post_authorizations(self, who, body):
        if not body.get("permissions"):
            raise Refusal(400, "authorization must include permissions")
        for p in body["permissions"]:
            self.need(who, p["action"], p["resource"]["type"], p["resource"].get("id"))
        return self.authorize(body.get("description", ""), body["permissions"], body.get("status", "active"))

    def _patch(self, kind, thing, body):
        if kind == "tasks" and "flux" in body:
            made = self.add_task(body["flux"])
            del self.tasks[made["id"]]
            thing |= {key: made[key] for key in ("flux", "name", "every", "offset")}
        if kind == "buckets" and body.get("retentionRules"):
            every_s = body["retentionRules"][0]["everySeconds"]
            thing["retentionRules"] = _rules(every_s)
            name = _v1(thing["name"])
            self._v1_query(
                f'ALTER RETENTION POLICY "autogen" ON "{name}" DURATION {every_s}s SHARD DURATION 1h DEFAULT'
            )
        thing |= {key: body[key] for key in ("status", "description", "name") if key in body}
        thing["updatedAt"] = _now()

    def _shown(self, thing):
        return thing if self.shows_tokens else {key: value for key, value in thing.items() if key != "token"}

    # ---- writes

    def write(self, query, body, header, encoding):
        who = self.who(header)
        if query.get("precision", "ns") not in _PRECISIONS:
            raise Refusal(400, "precision must be ns, us, ms or s")
        org = query.get("org", query.get("orgID", ""))
        if org not in self.orgs and org not in (o["name"] for o in self.orgs.values()):
            raise Refusal(404, f'organization name "{org}" not found')
        bucket = self.bucket(query.get("bucket", ""))
        if bucket is None:
            raise Refusal(404, f'bucket "{query.get("bucket", "")}" not found')
        if not self.may(who, "write", "buckets", bucket["id"]):
            raise Refusal(403, "insufficient permissions for write")
        if not body:
            raise Refusal(400, "writing requires points")
        if self.influxd is None:
            with self.lock:
                self.lines.setdefault(bucket["name"], []).append(body)
            return 204, None
        params = urlencode({"db": bucket["name"], "precision": _PRECISIONS[query.get("precision", "ns")]})
        status, said = self._v1("POST", f"/write?{params}", body, {"Content-Encoding": encoding} if encoding else {})
        if status == 204:
            return 204, None
        message = json.loads(said).get("error", "") if said else ""
        if status == 400 and "partial write" in message and "unable to parse" not in message:
            raise Refusal(422, f"failure writing points to database: {message}")
        raise Refusal(status if status in CODES else 500, message)

    def _v1(self, method, path, body=b"", headers=()):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(urlsplit(self.influxd).netloc, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._local.connection = None
            raise

    def _v1_query(self, statement):
        if self.influxd is not None:
            status, said = self._v1("POST", f"/query?{urlencode({'q': statement})}")
            assert status == 200, said
            assert b'"error"' not in said, (statement, said)


def permission(action, kind, resource_id=None):
    return {"action": action, "resource": {"type": kind} | ({"id": resource_id} if resource_id else {})}


def _rules(every_s):
    shard_s = 3600 if 0 < every_s <= 172800 else 86400 if 0 < every_s <= 15552000 else 604800
    return [{"type": "expire", "everySeconds": every_s, "shardGroupDurationSeconds": shard_s}]


def _option(flux):
    found = re.search(r"option\s+task\s*=\s*\{(.*?)\}", flux, re.DOTALL)
    return found[1] if found else ""


def _v1(name):
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _now():
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _stamps():
    return {"createdAt": _now(), "updatedAt": _now()}


def main():
    parser = argparse.ArgumentParser(description="the fixture as a process, until it is ended")
    parser.add_argument("--influxd", metavar="URL", help="where lines go (default: nowhere but memory)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--org", default="rig")
    parser.add_argument("--env", metavar="FILE", help="writes INFLUX_HOST, INFLUX_ORG, INFLUX_TOKEN there")
    args = parser.parse_args()
    with V2Server(args.influxd, args.org, args.port) as server:
        text = f"INFLUX_ORG={server.org}\nINFLUX_HOST={server.url}\nINFLUX_TOKEN={server.admin_token}\n"
        if args.env:
            with open(args.env, "w") as file:
                file.write(text)
        print(server.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
