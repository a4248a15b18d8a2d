"""The same metrics from Prometheus' Python client, for comparison.

Reads an exposition in text format 0.0.4 and holds its families as an exporter in Python would: a collector makes them
anew at each scrape, from label values and numbers that are there already. Makes each kind of exposition so many times
and prints the median seconds, then serves them all and prints the port, until standard input ends.
"""

import gzip
import statistics
import sys
import time

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
ACCEPTS = ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"]


class Keys:
    def __init__(self, families):
        # One sample's labels stand in the order of all.
        self.families = []
        for family in families:
            names = list(family.samples[0].labels) if family.samples else []
            rows = [([sample.labels[name] for name in names], sample.value) for sample in family.samples]
            self.families.append((FAMILIES[family.type], family.name, family.documentation, names, rows))

    def collect(self):
        for make, name, documentation, names, rows in self.families:
            family = make(name, documentation, labels=names)
            for labels, value in rows:
                family.add_metric(labels, value)
            yield family


def measure(registry, accept, compress, rounds):
    encode, _ = choose_encoder(accept)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        body = encode(registry)
        if compress:
            # As the client's own server does.
            body = gzip.compress(body)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(path, rounds):
    with open(path, encoding="utf-8") as file:
        keys = Keys(text_string_to_metric_families(file.read()))
    registry = CollectorRegistry()
    registry.register(keys)
    if rounds:
        for accept in ACCEPTS:
            for compress in False, True:
                print(measure(registry, accept, compress, rounds), flush=True)
    server, _ = start_http_server(0, addr="127.0.0.1", registry=registry)
    print(server.server_port, flush=True)
    sys.stdin.read()


main(sys.argv[1], int(sys.argv[2]))
