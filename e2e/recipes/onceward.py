"""The built binary over a new, empty store, with one recipe to find out by."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

BINARY = os.environ.get("ONCEWARD_BIN", str(Path(__file__).parents[2] / "target" / "debug" / "onceward"))
# Without the variables that would configure the binary behind the test's back.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ONCEWARD_")}
START_TIME_MAX_S = 30
END_TIME_MAX_S = 10


class Onceward:
    """One process of `onceward proxy` or `onceward gateway`."""

    def __init__(self, command, folder, recipe, parameters):
        given = ", ".join(f"{name} = {json.dumps(value)}" for name, value in parameters.items())
        config = folder / "onceward.toml"
        config.write_text(f'[[resolver]]\nrecipe = "{recipe}"\nparameters = {{ {given} }}\n')
        self._options = ["--config", str(config), "--state-dir", str(folder), "--store", f"sqlite:{folder / 'effects.db'}"]
        self._output = []
        self._process = subprocess.Popen(
            [BINARY, *command, "--listen", "127.0.0.1:0", *self._options],
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        listening = threading.Event()
        threading.Thread(target=self._read, args=[listening], daemon=True).start()
        if not listening.wait(START_TIME_MAX_S) or not self.port:
            self.stop()
            raise RuntimeError(f"onceward does not listen:\n{self.output}")

    def _read(self, listening):
        self.port = None
        for line in self._process.stdout:
            self._output.append(line)
            if self.port is None and (said := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)):
                self.port = int(said[1])
                listening.set()
        listening.set()

    @property
    def output(self):
        return "".join(self._output)

    def audit(self, key):
        """What was done about the effect of a key, in its order."""
        shown = subprocess.run(
            [BINARY, "effects", "show", key, "--json", *self._options], env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return json.loads(shown.stdout)["effects"][0]["audit"]

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(END_TIME_MAX_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
