//! What one scrape costs, by the number of keys.

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use iam_key_exporter::metrics::exposition::Encoding;

use super::{
    address_of,
    client::{Client, Kind},
    copy, exporter,
    measure::{
        child::Process,
        median,
        table::{Table, as_f64, mebibytes, target},
        timed,
    },
    python::{self, Python},
};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// The tables of all sizes.
pub(crate) fn measure() -> anyhow::Result<String> {
    let mut costs = Table::new(
        "Cost of a scrape",
        3,
        &[
            "keys",
            "format",
            "encoding",
            "series",
            "bytes",
            "render ms",
            "MB/s of text",
            "end to end ms",
            "growth, target ≤ keys'",
            "resident MiB",
            "peak MiB",
        ],
    );
    let mut copies = Table::new(
        "Beside copying the same bytes",
        3,
        &[
            "keys",
            "format",
            "encoding",
            "memory to memory ms",
            "over the loopback ms",
            "exporter end to end ms",
            "times",
            "target",
        ],
    );
    let mut pythons = Table::new(
        "Beside Python's prometheus-client with the same series",
        3,
        &[
            "keys",
            "format",
            "encoding",
            "its render ms",
            "its end to end ms",
            "render, times faster",
            "end to end, times faster",
            "target",
        ],
    );
    let mut smaller: Option<Vec<Cost>> = None;
    for keys in SIZES {
        let measured = measure_size(keys)?;
        for (index, cost) in measured.iter().enumerate() {
            costs.row(cost.cells(smaller.as_ref().map(|smaller| &smaller[index])));
            copies.row(cost.beside_copying());
            if let Some(python) = &cost.python {
                pythons.row(cost.beside(python));
            }
        }
        smaller = Some(measured);
    }
    let notes = "End to end is from a client's request to the last byte of the body, over the loopback. Times are \
                 medians; ratios are of one run. Python holds label values and numbers ready and computes no ages.";
    Ok(format!("{notes}\n{costs}{copies}{pythons}"))
}

/// What a scrape of one kind takes.
struct Cost {
    keys: usize,
    kind: Kind,
    series: usize,
    text_bytes: u64,
    bytes: u64,
    render: Duration,
    end_to_end: Duration,
    copy: Duration,
    memory_copy: Duration,
    resident: u64,
    peak: u64,
    python: Option<Python>,
}

impl Cost {
    fn cells(&self, smaller: Option<&Self>) -> [String; 11] {
        let growth = smaller.map_or("–".into(), |smaller| {
            let growth = ratio(self.end_to_end, smaller.end_to_end);
            let keys = self.keys / smaller.keys;
            // From 1 000 keys the fixed part of a scrape only helps.
            target(growth <= as_f64(keys as u64), format!("{growth:.1}"))
        });
        let [keys, format, encoding] = self.names();
        [
            keys,
            format,
            encoding,
            self.series.to_string(),
            self.bytes.to_string(),
            milliseconds(self.render),
            format!(
                "{:.0}",
                as_f64(self.text_bytes) / 1e6 / self.render.as_secs_f64()
            ),
            milliseconds(self.end_to_end),
            growth,
            mebibytes(self.resident),
            mebibytes(self.peak),
        ]
    }

    fn beside_copying(&self) -> [String; 8] {
        let times = ratio(self.end_to_end, self.copy);
        // Compressing is no copying.
        let wanted = self.kind.encoding == Encoding::Identity && self.keys == 10_000;
        let [keys, format, encoding] = self.names();
        [
            keys,
            format,
            encoding,
            milliseconds(self.memory_copy),
            milliseconds(self.copy),
            milliseconds(self.end_to_end),
            format!("{times:.1}"),
            if wanted {
                target(times <= 3.0, "≤ 3")
            } else {
                "–".into()
            },
        ]
    }

    fn beside(&self, python: &Python) -> [String; 8] {
        let times = ratio(python.end_to_end, self.end_to_end);
        let least = match self.kind.encoding {
            Encoding::Identity => 40.0,
            Encoding::Gzip => 15.0,
        };
        let wanted = self.keys == 10_000;
        let [keys, format, encoding] = self.names();
        [
            keys,
            format,
            encoding,
            python.render.map_or("–".into(), milliseconds),
            milliseconds(python.end_to_end),
            python.render.map_or("–".into(), |render| {
                format!("{:.0}", ratio(render, self.render))
            }),
            format!("{times:.0}"),
            if wanted {
                target(times >= least, format!("≥ {least}"))
            } else {
                "–".into()
            },
        ]
    }

    fn names(&self) -> [String; 3] {
        [
            self.keys.to_string(),
            self.kind.format_name().to_owned(),
            self.kind.encoding_name().to_owned(),
        ]
    }
}

fn measure_size(keys: usize) -> anyhow::Result<Vec<Cost>> {
    let renders = exporter::renders(keys)?;
    let mut server = Process::role(["serve", &keys.to_string()], &[])?;
    let mut client = Client::connect(address_of(&mut server)?)?;
    let mut costs: Vec<Cost> = Vec::new();
    for (kind, render) in Kind::ALL.into_iter().zip(&renders) {
        let body = client.body(kind)?;
        let (text_bytes, series) = match kind.encoding {
            Encoding::Identity => (render.bytes, series(&body)),
            // The compressed form follows the one it is made of.
            Encoding::Gzip => {
                let last = &costs[costs.len() - 1];
                (last.text_bytes, last.series)
            }
        };
        let mut plain = copier(keys, kind, &body)?;
        let mut beside = Client::connect(address_of(&mut plain)?)?;
        server.settle()?;
        server.reset_peak()?;
        let mut times = (Vec::new(), Vec::new());
        let began = Instant::now();
        // In turns, so that a busy moment of the machine hits both.
        while times.0.len() < 5 || (times.0.len() < 101 && began.elapsed() < Duration::from_secs(2))
        {
            let (time, length) = timed(|| client.scrape(kind))?;
            // The metrics of the process may take a digit more or less.
            ensure!(
                length.abs_diff(body.len() as u64) < 100,
                "the body changes its length"
            );
            times.0.push(time);
            // Or else the next scrape may be given the same body.
            server.settle()?;
            times.1.push(timed(|| beside.scrape(kind))?.0);
        }
        costs.push(Cost {
            keys,
            kind,
            series,
            text_bytes,
            bytes: body.len() as u64,
            render: render.time,
            end_to_end: median(times.0),
            copy: median(times.1),
            memory_copy: memory_copy(&body),
            resident: server.resident()?,
            peak: server.peak()?,
            python: None,
        });
    }
    let text = client.body(Kind::ALL[0])?;
    if let Some(pythons) = python::measure(&text, keys)? {
        for (cost, python) in costs.iter_mut().zip(pythons) {
            cost.python = Some(python);
        }
    }
    Ok(costs)
}

/// A server of a copy of the body.
fn copier(keys: usize, kind: Kind, body: &[u8]) -> anyhow::Result<Process> {
    let name = format!("{keys}-{}-{}", kind.format_name(), kind.encoding_name());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, copy::response(kind, body))?;
    Process::role(["copy".as_ref(), path.as_os_str()], &[])
}

/// What copying the body within memory takes, to where it was copied before.
fn memory_copy(body: &[u8]) -> Duration {
    let mut copy = body.to_vec();
    let times = (0..21).map(|_| {
        let start = Instant::now();
        copy.copy_from_slice(black_box(body));
        black_box(&mut copy);
        start.elapsed()
    });
    median(times.collect())
}

fn series(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .count()
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
