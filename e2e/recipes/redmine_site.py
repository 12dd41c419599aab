"""Redmine as the proof needs it: Debian's package, run from a copy of its tree, so that no instance of the machine's is touched."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from visitor import ask

SOURCE = Path(__file__).parent / "redmine"
PACKAGED = Path("/usr/share/redmine")
INSTANCE = "proof"
# Without these answers the package would ask, and choose a database server.
PRESEED = """\
redmine redmine/instances/default/dbconfig-install boolean true
redmine redmine/instances/default/database-type select sqlite3
redmine redmine/instances/default/default-language select en
"""
RUNS_PER_CALLER = 5
# How many other issues a caller had created before. The first caller's are more than one look's page; the others' go round.
HISTORY_LONG = 110
HISTORIES = [0, 1, 8]


class RedmineSite:
    recipe = "redmine"
    parameters = {"apart": "5s"}
    settle_short_s = 8
    settle_s = 60

    def __init__(self, tools):
        self._tools = tools

    def install(self):
        """The package, a copy of its tree, and an empty database: made once and kept."""
        if not is_installed("redmine"):
            install_packages()
        self._bundler = package_version("ruby-bundler")
        self._home = self._tools / f"redmine-{package_version('redmine')}"
        self._empty = self._home / "empty.db"
        if self._empty.exists():
            return
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.copytree(PACKAGED, self._home, symlinks=True)
        # These lead to the machine's own instance.
        for own in ["Gemfile.lock", "config/database.yml", "instances"]:
            (self._home / own).unlink()
        instance = self._home / "instances" / INSTANCE
        for folder in ["config", "files", "log", "tmp"]:
            (instance / folder).mkdir(parents=True)
        shutil.copy(SOURCE / "database.yml", instance / "config")
        shutil.copy(SOURCE / "Gemfile.local", self._home)
        (instance / "config" / "secret_key.txt").write_text("for a test on loopback only " * 2)
        made = self._home / "making.db"
        # In two processes: what was migrated is not known to the classes that were loaded before.
        for step in ["install --local --quiet", "exec rake db:migrate", "exec rake redmine:load_default_data"]:
            subprocess.run(["bundle", *step.split()], cwd=self._home, env=self._environment(made), stdout=subprocess.DEVNULL, check=True)
        made.rename(self._empty)

    def _environment(self, database):
        return {
            "BUNDLER_VERSION": self._bundler, "BUNDLE_SILENCE_ROOT_WARNING": "1", "HOME": str(self._home), "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin", "RAILS_ENV": "production", "REDMINE_DATABASE": str(database), "REDMINE_INSTANCE": INSTANCE,
            "REDMINE_LANG": "en", "SCHEMA": "/dev/null",
        }

    def start(self, folder, runs):
        """Starts it with a few callers who share the runs."""
        self._database = folder / "redmine.db"
        shutil.copy(self._empty, self._database)
        callers = {}
        for run in runs:
            caller = callers.setdefault(login(run), {"login": login(run), "key": api_key(run), "issues": []})
            # Equal to the run's own, but older.
            if run.choice.random() < 0.5:
                caller["issues"].append({"subject": subject(run), "minutes_ago": run.choice.choice([2, 1440])})
        for number, caller in enumerate(callers.values()):
            earlier = HISTORIES[number % len(HISTORIES)] if number else HISTORY_LONG
            caller["issues"].extend({"subject": f"Another {other}", "minutes_ago": 60 + other} for other in range(earlier))
        self._log = open(folder / "redmine.log", "w+")
        self._process = subprocess.Popen(
            ["bundle", "exec", "ruby", SOURCE / "serve.rb"], cwd=self._home, env=self._environment(self._database),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )
        with self._process.stdin as stdin:
            json.dump(list(callers.values()), stdin)
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"Redmine did not start:\n{self._log.read()}")
        ready = json.loads(line)
        self._path = f"/projects/{ready['project']}/issues.json"
        self.version = f"Redmine {ready['version']}"
        return ready["port"]

    def stop(self):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def command(self, cutter):
        return ["gateway", "--upstream", cutter.url]

    def prepare(self, run, port, cutter):
        """Nothing to prepare: a program's request stands alone."""
        body = json.dumps({"issue": {"subject": subject(run), "description": "It does not start."}})
        headers = {
            "content-type": "application/json", "x-redmine-api-key": api_key(run), "x-run": str(run.number), "idempotency-key": run.key,
        }
        return lambda: ask(port, "POST", self._path, headers, body)

    def booked(self, run):
        """How many issues of this run's subject there are, without the one of before."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as database:
            query = (
                "SELECT count(*) FROM issues JOIN users ON users.id = issues.author_id"
                " WHERE users.login = ? AND subject = ? AND issues.updated_on < datetime(issues.created_on, '+1 minute')"
            )
            return database.execute(query, [login(run), subject(run)]).fetchone()[0]

    def is_done(self, answer):
        """Whether an answer is the application's own to an effect that it did."""
        return answer.status == 201 and "issue" in json.loads(answer.text)


def login(run):
    return f"caller-{run.number // RUNS_PER_CALLER}"


def api_key(run):
    return f"{run.number // RUNS_PER_CALLER:040x}"


def subject(run):
    return f"Störung {run.number}: <der Drucker> & \"mehr\""


def is_installed(package):
    shown = subprocess.run(["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package], capture_output=True, text=True)
    return shown.stdout == "installed"


def package_version(package):
    """Its version without Debian's part."""
    shown = subprocess.run(["dpkg-query", "--show", "--showformat", "${Version}", package], capture_output=True, text=True, check=True)
    return shown.stdout.rpartition("-")[0]


def install_packages():
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    add = ["install", "--yes", "--no-install-recommends"]
    subprocess.run([*apt, "update", "--quiet"], check=True)
    subprocess.run([*apt, *add, "ruby-bundler"], check=True)
    subprocess.run([*as_root, "debconf-set-selections"], input=PRESEED, text=True, check=True)
    # The package resolves its gems with the newest bundler, which is Ruby's own; only Debian's finds the gems that Debian packages.
    apt.insert(-1, f"BUNDLER_VERSION={package_version('ruby-bundler')}")
    subprocess.run([*apt, *add, "redmine", "redmine-sqlite", "ruby-webrick"], check=True)
