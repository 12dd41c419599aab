"""The proof that every recipe has to pass, whatever its application."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from cutter import Cutter, Fate
from onceward import Onceward

# Of 100 effects in doubt, so many have to be found out without a person.
FOUND_OUT_PER_CENT_MIN = 95
# As many callers as a small site has at a time.
CALLERS = 6
# The pauses between looks double, so the one that comes after the settling time comes within twice that time.
VERDICT_MARGIN_S = 60
# A caller in doubt asks again after this part of the settling time: `onceward effects show` has the first 200 lines of its audit log, and
# each question is one.
ASK_PAUSE_PART = 1 / 20
# A request is late by this part of the settling time at the most.
LATE_PART_MAX = 0.5


class Run:
    """One effect, what befalls it, and what is said of it."""

    def __init__(self, number, seed, settle_s):
        self.number = number
        self.key = f"run-{seed}-{number}"
        self.choice = random.Random(f"{seed}/{number}")
        kind = self.choice.choice(["lost", "late", "unanswered", "torn"])
        delay_s = self.choice.uniform(0.1, LATE_PART_MAX * settle_s)
        self.fate = Fate(kind, delay_s=delay_s, part=self.choice.random())
        self.send = None
        self.last = None
        self.fault = None

    @property
    def happens(self):
        """Whether the first request has its effect."""
        return self.fate.kind != "lost"

    def begin(self, site, port, cutter):
        """Up to the first request, whose answer is lost."""
        self.send = site.prepare(self, port, cutter)
        cutter.expect(self.number, self.fate)
        self.ask()
        if not self.is_in_doubt:
            self.fault = f"the first request was answered {self.last.status}: {self.last.text[:200]}"

    def ask(self):
        self.last = self.send()

    @property
    def is_in_doubt(self):
        return self.last.status == 409 and "outcome-unknown" in self.last.text


def prove(site, folder, count, seed, is_long):
    """All runs at once against one application, then the count."""
    settle_s = site.settle_s if is_long else site.settle_short_s
    runs = [Run(number, seed, settle_s) for number in range(count)]
    parameters = site.parameters if is_long else {**site.parameters, "settle": f"{settle_s}s"}
    cutter = Cutter(site.start(folder, runs))
    try:
        onceward = Onceward(site.command(cutter), folder, site.recipe, parameters)
        try:
            play(site, runs, onceward, cutter, settle_s)
            return judge(site, runs, onceward, seed)
        finally:
            onceward.stop()
    finally:
        cutter.shutdown()
        site.stop()


def play(site, runs, onceward, cutter, settle_s):
    with ThreadPoolExecutor(CALLERS) as callers:
        for run, future in [(run, callers.submit(run.begin, site, onceward.port, cutter)) for run in runs]:
            # An application that cannot be driven proves nothing.
            future.result()
    deadline = time.monotonic() + 2 * settle_s + VERDICT_MARGIN_S
    while (doubted := [run for run in runs if run.is_in_doubt]) and time.monotonic() < deadline:
        # waits: for verdicts, which nobody announces to a caller.
        time.sleep(ASK_PAUSE_PART * settle_s)
        for run in doubted:
            run.ask()
    cutter.settle()


def judge(site, runs, onceward, seed):
    """Holds what was said against what the application's own database holds."""
    counts = Counter()
    faults = []
    for run in runs:
        audit = onceward.audit(run.key)
        said = next((line["evidence"] for line in audit if line["decision"] == "resolved"), "")
        is_absent, is_done = (f"{site.recipe} saw {sight}" in said for sight in ("nothing", "happened"))
        booked = site.booked(run)
        counts["found_out"] += is_absent or is_done
        counts["twice"] += booked > 1
        counts["wrongly_absent"] += is_absent and run.happens
        counts["wrongly_done"] += is_done and not run.happens
        # Told by the application where it was asked again, by onceward where that would have been once too often.
        is_answered = (is_absent and site.is_done(run.last)) or (is_done and "outcome-not-kept" in run.last.text)
        if (is_absent or is_done) and (booked != 1 or not is_answered):
            counts["wrongly_answered"] += 1
        if run.fault or not is_answered or booked != 1 or (is_done != run.happens):
            looks = "; ".join(sorted({line["evidence"] for line in audit if line.get("evidence")}))
            what = run.fault or said or f"nobody found out: {looks}"
            faults.append(f"run {run.number} ({run.fate.kind}): {booked} booked, answered {run.last.status}; {what}")
    wrong = {name: counts[name] for name in ("twice", "wrongly_absent", "wrongly_done", "wrongly_answered")}
    enough = counts["found_out"] * 100 >= FOUND_OUT_PER_CENT_MIN * len(runs)
    return {
        "recipe": site.recipe, "application": site.version, "runs": len(runs), "seed": seed,
        "fates": dict(sorted(Counter(run.fate.kind for run in runs).items())),
        "found_out": counts["found_out"], **wrong, "faults": faults,
        "ok": enough and not any(wrong.values()) and not any(run.fault for run in runs),
    }
