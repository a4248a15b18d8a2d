"""The control over a credential report with csv and datetime, as a short script would do it.

    check.py REPORT AS_OF

Prints resource, status and reason of each key as CSV and ends with 1 if there are alarms.
"""

import csv
import sys
from datetime import datetime, timedelta

MAX_AGE = timedelta(days=90)


def rows(report, now):
    with open(report, newline="") as file:
        for row in csv.DictReader(file):
            if row["user"] == "<root_account>":
                continue
            _, partition, _, _, account, _ = row["arn"].split(":", 5)
            for slot in "12":
                rotated = row[f"access_key_{slot}_last_rotated"]
                if rotated == "N/A":
                    continue
                created = datetime.fromisoformat(rotated)
                key = f"{row['user']} slot-{slot}"
                if row[f"access_key_{slot}_active"] != "true":
                    status, reason = "skip", f"{key} status is Inactive."
                else:
                    age = now - created
                    status = "alarm" if age > MAX_AGE else "ok"
                    reason = f"{key} created {created:%d-%b-%Y} ({age.days} days)."
                yield f"arn:{partition}:iam::{account}:user/{row['user']}/accesskey/slot-{slot}", status, reason


results = list(rows(sys.argv[1], datetime.fromisoformat(sys.argv[2].replace("Z", "+00:00"))))
csv.writer(sys.stdout).writerows(results)
sys.exit(any(status == "alarm" for _, status, _ in results))
