"""`rigbus influx` at a desk: a configuration, a `.env`, a fixture server, and an eye on the screen for secrets."""

import json

from common.cli import main as cli
from common.config.dotenv import read


class Desk:
    """run(*arguments) → (exit code, stdout, stderr) of `rigbus influx`, with a `.env` beside a configuration.

    Everything that was ever on the screen is searched for every token that there ever was, when the test ends.
    """

    def __init__(self, folder, server, capsys, monkeypatch):
        self.env, self.toml, self.server = folder / ".env", folder / "rigbus.toml", server
        self._capsys, self._monkeypatch, self._screen, self.secrets = capsys, monkeypatch, "", set()
        self.toml.write_text('node = "rig"\n[sink.influx]\nenabled = true\n')
        self.write_env(INFLUX_ORG=server.org, INFLUX_HOST=server.url, INFLUX_TOKEN=server.admin_token)
        self._note()

    def write_env(self, mode=0o600, **values):
        self.env.write_text("# mine\n" + "".join(f"{key}={value}\n" for key, value in values.items()))
        self.env.chmod(mode)

    def run(self, *arguments, typed=""):
        self._note()
        if typed is not None:
            self._monkeypatch.setattr("builtins.input", lambda *_: typed)
        code = cli.main(["influx", *arguments, "--config", str(self.toml)])
        out, err = self._capsys.readouterr()
        self._screen += out + err
        self._note()
        assert "Traceback" not in out + err
        return code, out, err

    def json(self, *arguments):
        code, out, _ = self.run(*arguments, "--json")
        return code, json.loads(out)

    def _note(self):
        self.secrets |= {a["token"] for a in self.server.authorizations.values()}
        self.secrets |= {value for key, value in read(self.env).items() if "TOKEN" in key and value}

    def check_screen(self):
        assert self.secrets
        shown = [s for s in self.secrets if s in self._screen or s[:12] in self._screen or s[-12:] in self._screen]
        assert shown == []


# ---- what is in the server


def kept(server):
    return {b["name"]: b["retentionRules"][0]["everySeconds"] for b in server.buckets.values() if b["type"] == "user"}


def tasks(server):
    return {t["name"]: (t["status"], t["flux"]) for t in server.tasks.values()}


def state(server):
    return json.dumps([server.buckets, server.tasks, server.authorizations], sort_keys=True)


def ours(server):
    return {a["description"]: a for a in server.authorizations.values() if a["description"].startswith("rigbus")}
