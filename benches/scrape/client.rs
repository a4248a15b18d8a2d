//! The client that scrapes: it reads a body to its end and throws it away, and does nothing else.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, ensure};
use iam_key_exporter::metrics::exposition::{Encoding, Format};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
}

impl Kind {
    /// Every combination.
    pub(crate) const ALL: [Self; 4] = [
        Self::of(Format::Text, Encoding::Identity),
        Self::of(Format::Text, Encoding::Gzip),
        Self::of(Format::OpenMetrics, Encoding::Identity),
        Self::of(Format::OpenMetrics, Encoding::Gzip),
    ];

    const fn of(format: Format, encoding: Encoding) -> Self {
        Self { format, encoding }
    }

    pub(crate) fn format_name(self) -> &'static str {
        match self.format {
            Format::Text => "text",
            Format::OpenMetrics => "OpenMetrics",
        }
    }

    pub(crate) fn encoding_name(self) -> &'static str {
        match self.encoding {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
        }
    }

    fn request(self) -> String {
        let accept = match self.format {
            Format::Text => "text/plain;version=0.0.4",
            Format::OpenMetrics => "application/openmetrics-text;version=1.0.0",
        };
        let encoding = self.encoding_name();
        format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n"
        )
    }
}

/// A connection that is kept from scrape to scrape, as Prometheus does.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 256 * 1024].into(),
        })
    }

    /// Scrapes once and gives the length of the body.
    pub(crate) fn scrape(&mut self, kind: Kind) -> anyhow::Result<u64> {
        self.receive(kind, |_| {})
    }

    /// Scrapes once and keeps the body.
    pub(crate) fn body(&mut self, kind: Kind) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.receive(kind, |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    fn receive(&mut self, kind: Kind, mut take: impl FnMut(&[u8])) -> anyhow::Result<u64> {
        self.stream.write_all(kind.request().as_bytes())?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "the connection ended within the head");
            filled += read;
            if let Some(end) = find(&self.buffer[..filled], b"\r\n\r\n") {
                break end + 4;
            }
        };
        let length = body_length(&self.buffer[..head], kind)?;
        take(&self.buffer[head..filled]);
        let mut received = (filled - head) as u64;
        while received < length {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the connection ended within the body");
            take(&self.buffer[..read]);
            received += read as u64;
        }
        ensure!(received == length, "more than one body came");
        Ok(length)
    }
}

/// The length that the head announces, if it is the answer asked for.
fn body_length(head: &[u8], kind: Kind) -> anyhow::Result<u64> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    ensure!(
        head.split(' ').nth(1) == Some("200"),
        "the answer isn't 200: {head}"
    );
    ensure!(
        head.contains("content-encoding: gzip") == (kind.encoding == Encoding::Gzip),
        "not in the encoding that was asked for: {head}"
    );
    let open_metrics = head.contains("content-type: application/openmetrics-text");
    ensure!(
        open_metrics == (kind.format == Format::OpenMetrics),
        "not in the format that was asked for: {head}"
    );
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.with_context(|| format!("no length: {head}"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
