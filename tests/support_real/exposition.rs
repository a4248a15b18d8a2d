//! An exposition as Prometheus' own parser reads it, and a server of a page that never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::http::Answer;
use super::tools;

/// The samples of one scrape.
#[derive(Debug)]
pub(crate) struct Metrics(Vec<Sample>);

/// One line of an exposition.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// The label's value, which must be there.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels
            .get(name)
            .unwrap_or_else(|| panic!("no label {name} on {self:?}"))
    }
}

impl Metrics {
    /// Fails the test if the parser refuses the page, or if two series are equal: no parser minds that, and
    /// Prometheus would keep the first and say nothing.
    pub(crate) fn parse(answer: &Answer) -> Self {
        let metrics = Self(parse_with_python(answer));
        let mut seen = BTreeSet::new();
        for sample in &metrics.0 {
            assert!(
                seen.insert((&sample.name, &sample.labels)),
                "two series are equal: {sample:?}"
            );
        }
        metrics
    }

    /// All samples, in the order they were written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }

    /// All samples of a name, in the order they were written.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The values of a name's samples whose labels include those given, added up; `None` if there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.all(name)
            .filter(|sample| {
                labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|have| have == value))
            })
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }
}

fn parse_with_python(answer: &Answer) -> Vec<Sample> {
    let mut child = Command::new(tools::python())
        .arg(tools::repository("tests/real/exposition_to_json.py"))
        .arg(&answer.content_type)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the interpreter is there and starts");
    // The parser reads all of its input before it writes, so neither waits for the other. If it stops reading, its
    // status tells of that.
    let _ = child
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(answer.body.as_bytes());
    let output = child.wait_with_output().expect("the parser ends");
    assert!(
        output.status.success(),
        "Prometheus' parser refuses what was served as {:?}: {}\n{}",
        answer.content_type,
        String::from_utf8_lossy(&output.stderr),
        answer.body
    );
    let samples: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the parser writes JSON");
    samples
        .as_array()
        .expect("the parser writes a list")
        .iter()
        .map(sample)
        .collect()
}

fn sample(json: &serde_json::Value) -> Sample {
    let text = |value: &serde_json::Value| value.as_str().expect("the parser's text").to_owned();
    Sample {
        name: text(&json["name"]),
        labels: json["labels"]
            .as_object()
            .expect("labels are an object")
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        value: json["value"]
            .as_str()
            .and_then(|value| value.parse().ok())
            .expect("a value is a number"),
    }
}

/// Serves one page at every path, as text of format 0.0.4, for as long as the runtime of the test lives.
pub(crate) async fn serve_static(page: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the system has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |_| async move {
                let mut response = Response::new(Full::new(Bytes::from_static(page.as_bytes())));
                response.headers_mut().insert(
                    CONTENT_TYPE,
                    "text/plain; version=0.0.4; charset=utf-8"
                        .parse()
                        .expect("a plain header value"),
                );
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}
