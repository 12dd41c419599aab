"""django-oscar as the proof needs it: installed from PyPI, started over a copy of an empty shop, ordered from as a browser does."""

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from visitor import Visitor

SOURCE = Path(__file__).parent / "oscar"
PASSWORD = "a reader's own"


class OscarSite:
    recipe = "django-oscar"
    parameters = {"zone": "UTC", "apart": "2m"}
    settle_short_s = 8
    settle_s = 120
    # How many minutes ago customers had ordered before: never; long ago; more often than fits a page of the history; all but now.
    histories = [[], [1440], list(range(60, 60 + 25)), [3, 20000]]
    environment = {}

    def __init__(self, tools):
        wanted = (SOURCE / "requirements.txt").read_bytes()
        self._home = tools / f"oscar-{hashlib.sha256(wanted).hexdigest()[:12]}"
        self._python = self._home / "venv" / "bin" / "python"
        self._empty = self._home / "empty.db"

    def install(self):
        """An environment of its own and an empty database, both made once and kept."""
        if self._empty.exists():
            return
        shutil.rmtree(self._home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", self._home / "venv"], check=True)
        wanted = ["--requirement", SOURCE / "requirements.txt"]
        subprocess.run([self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True)
        made = self._home / "making.db"
        subprocess.run([self._python, "shop.py", "migrate"], cwd=SOURCE, env=self._environment(made), check=True)
        made.rename(self._empty)

    def _environment(self, database):
        quiet = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
        return {"SHOP_DATABASE": str(database), **quiet, **self.environment}

    def start(self, folder, runs):
        """Starts the shop with a customer for each run."""
        self._database = folder / "shop.db"
        shutil.copy(self._empty, self._database)
        customers = [
            {"email": email(run), "password": PASSWORD, "ordered_minutes_ago": run.choice.choice(self.histories)} for run in runs
        ]
        self._log = open(folder / "shop.log", "w+")
        self._process = subprocess.Popen(
            [self._python, "shop.py", "serve"], cwd=SOURCE, env=self._environment(self._database),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )
        with self._process.stdin as stdin:
            json.dump(customers, stdin)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the shop did not start:\n{self.log()}")
        ready = json.loads(line)
        self._product = ready["product"]
        self.version = f"django-oscar {ready['version']}"
        return ready["port"]

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def command(self, cutter):
        return ["proxy"]

    def prepare(self, run, port, cutter):
        """Checks out up to the last button. Pressing it is what is returned."""
        visitor = Visitor(port, cutter.url)
        login = {"login-username": email(run), "login-password": PASSWORD, "login_submit": "Log In"}
        visitor.submit(visitor.open("/accounts/login/"), "/accounts/login/", login)
        product = visitor.open(self._product)
        visitor.submit(product, re.search(r'action="(/basket/add/\d+/)"', product.text)[1], {"quantity": "1"})
        addresses = visitor.open("/checkout/")
        address = re.search(r'name="address_id" value="(\d+)"', addresses.text)[1]
        preview = visitor.submit(addresses, "/checkout/shipping-address/", {"action": "ship_to", "address_id": address})
        if 'id="place_order_form"' not in preview.text:
            preview = visitor.open("/checkout/preview/")
        last_form = preview.text.partition('id="place_order_form"')[2].partition("</form>")[0]
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', last_form))
        headers = {"x-run": str(run.number), "x-idem-key": run.key, "accept": "application/json"}
        return lambda: visitor.send("POST", "/checkout/preview/", form, headers)

    def booked(self, run):
        """How many orders this run's customer has placed."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as database:
            query = (
                "SELECT count(*) FROM order_order JOIN auth_user ON auth_user.id = order_order.user_id"
                " WHERE auth_user.email = ? AND order_order.number NOT LIKE 'before-%'"
            )
            return database.execute(query, [email(run)]).fetchone()[0]

    def is_done(self, answer):
        """Whether an answer is the application's own to an effect that it did."""
        return answer.status == 302 and answer.location.endswith("/checkout/thank-you/")


class OscarNumberSite(OscarSite):
    """A shop whose last form says which number the order will have, so that orders may be as close together as they like."""

    recipe = "django-oscar-number"
    parameters = {"zone": "UTC"}
    histories = [[], [0, 1440], [0, 0, 1, 2, 3, 60], list(range(25))]
    environment = {"SHOP_TEMPLATES": str(SOURCE / "templates")}


def email(run):
    return f"reader-{run.number}@shop.example"
