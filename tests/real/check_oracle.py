"""The query `iam_user_access_key_age_90` in SQLite, over the keys of a credential report.

    check_oracle.py REPORT AS_OF

prints resource, status and reason of each key as CSV. PostgreSQL's words for dates that SQLite lacks are said in its own:
`current_date` is the UTC midnight before AS_OF, `interval '90' day` is 90 days, `to_char(…, 'DD-Mon-YYYY')` takes the
month's name from a table, and `extract(day from current_timestamp - create_date)` is whole days of 86 400 s.
"""

import csv
import datetime
import sqlite3
import sys

QUERY = """
select
  'arn:' || partition || ':iam::' || account_id || ':user/' || user_name || '/accesskey/' || access_key_id,
  case
    when status <> 'Active' then 'skip'
    when create_date <= unixepoch(:now, 'start of day', '-90 days') then 'alarm'
    else 'ok'
  end,
  case
    when status <> 'Active' then user_name || ' ' || access_key_id || ' status is ' || status || '.'
    else user_name || ' ' || access_key_id || ' created '
      || strftime('%d-', create_date, 'unixepoch')
      || substr('JanFebMarAprMayJunJulAugSepOctNovDec', 3 * strftime('%m', create_date, 'unixepoch') - 2, 3)
      || strftime('-%Y', create_date, 'unixepoch')
      || ' (' || ((unixepoch(:now) - create_date) / 86400) || ' days).'
  end
from aws_iam_access_key
"""


def main(report, as_of):
    database = sqlite3.connect(":memory:")
    database.execute(
        "create table aws_iam_access_key"
        " (partition text, account_id text, user_name text, access_key_id text, status text, create_date integer)"
    )
    with open(report, newline="") as file:
        for row in csv.DictReader(file):
            _, partition, _, _, account, _ = row["arn"].split(":", 5)
            for slot in "12":
                created = row[f"access_key_{slot}_last_rotated"]
                if created == "N/A":
                    continue
                status = "Active" if row[f"access_key_{slot}_active"] == "true" else "Inactive"
                instant = int(datetime.datetime.fromisoformat(created).timestamp())
                database.execute(
                    "insert into aws_iam_access_key values (?, ?, ?, ?, ?, ?)",
                    (partition, account, row["user"], f"slot-{slot}", status, instant),
                )
    csv.writer(sys.stdout).writerows(database.execute(QUERY, {"now": as_of}))


main(*sys.argv[1:])
