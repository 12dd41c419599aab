"""Holds recipes against the applications that they are for.

    python3 run.py [RECIPE …] [--long] [--seed N] [--json]

Each run does one effect of its own through the built binary, while a relay in front of the application loses the request or its
answer, as a seed chooses. A recipe then has to find out, without a person, what became of it; then the effect is asked for again. Counted
is what the application's own database holds. The exit status is 0 when nothing happened twice, nothing that had happened was called absent,
nothing that had not was called done, and at least 95 of 100 were found out.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from oscar_site import OscarNumberSite, OscarSite
from proof import prove
from redmine_site import RedmineSite

SITES = {site.recipe: site for site in (OscarSite, OscarNumberSite, RedmineSite)}
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target")).absolute() / "tools"
RUNS = 10
RUNS_LONG = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*", help="all of them unless told: " + ", ".join(SITES))
    parser.add_argument("--long", action="store_true", help=f"{RUNS_LONG} runs with the recipe's own settling time, not {RUNS} with a short one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.recipe) - set(SITES):
        parser.error(f"there is no proof of {', '.join(sorted(unknown))}")
    # An end from outside ends what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    reports = []
    for name in options.recipe or SITES:
        site = SITES[name](TOOLS)
        site.install()
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="onceward-recipes-") as folder:
            report = prove(site, Path(folder), RUNS_LONG if options.long else RUNS, options.seed, is_long=options.long)
        reports.append({**report, "seconds": round(time.monotonic() - began, 1)})
        if not options.json:
            say(reports[-1])
    if options.json:
        print(json.dumps({"recipes": reports, "ok": all(report["ok"] for report in reports)}, indent=2))
    sys.exit(0 if all(report["ok"] for report in reports) else 1)


def say(report):
    counts = ", ".join(f"{name} {count}" for name, count in report["fates"].items())
    print(
        f"{report['recipe']} on {report['application']}: {report['found_out']} of {report['runs']} found out without a person;"
        f" {report['twice']} happened twice, {report['wrongly_absent']} wrongly absent, {report['wrongly_done']} wrongly done,"
        f" {report['wrongly_answered']} wrongly answered"
        f" (seed {report['seed']}: {counts}; {report['seconds']} s)"
    )
    for fault in report["faults"]:
        print(f"  {fault}")


if __name__ == "__main__":
    main()
