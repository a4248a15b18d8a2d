"""Reads an exposition from standard input with Prometheus' own Python parser and prints its samples as JSON.

The one argument is the Content-Type it was served with, which chooses the parser.
"""

import json
import sys

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text


def main():
    kind = sys.argv[1].split(";", 1)[0].strip()
    parse = {"text/plain": parse_text, "application/openmetrics-text": parse_openmetrics}[kind]
    families = parse(sys.stdin.buffer.read().decode("utf-8"))
    samples = [
        # As text, since JSON has no NaN and no infinity.
        {"name": sample.name, "labels": sample.labels, "value": repr(float(sample.value))}
        for family in families
        for sample in family.samples
    ]
    json.dump(samples, sys.stdout)


main()
