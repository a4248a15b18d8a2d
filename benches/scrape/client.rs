//! The client that scrapes: it reads a body to its end and throws it away, and does nothing else.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{bail, ensure};
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
        let mut body = Body::announced(&self.buffer[..head], kind)?;
        body.receive(&self.buffer[head..filled], &mut take)?;
        while !body.is_whole() {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the connection ended within the body");
            body.receive(&self.buffer[..read], &mut take)?;
        }
        Ok(body.received)
    }
}

/// A body on its way.
struct Body {
    received: u64,
    framing: Framing,
}

enum Framing {
    Length(u64),
    Chunked {
        /// What is still to come of the present chunk.
        left: u64,
        /// The line between two chunks, as far as it has come.
        line: Vec<u8>,
        /// The chunk of size 0 has come, and at last the empty line after it.
        last: bool,
        ended: bool,
    },
}

impl Body {
    /// The body that the head announces, if it is the answer asked for.
    fn announced(head: &[u8], kind: Kind) -> anyhow::Result<Self> {
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
        let framing = match length {
            Some(length) => Framing::Length(length),
            None if head.contains("transfer-encoding: chunked") => Framing::Chunked {
                left: 0,
                line: Vec::new(),
                last: false,
                ended: false,
            },
            None => bail!("neither a length nor chunks: {head}"),
        };
        Ok(Self {
            received: 0,
            framing,
        })
    }

    fn is_whole(&self) -> bool {
        match &self.framing {
            Framing::Length(length) => self.received == *length,
            Framing::Chunked { ended, .. } => *ended,
        }
    }

    /// Takes what came, without the sizes of chunks.
    fn receive(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            ensure!(!self.is_whole(), "more than one body came");
            let fitting = match &self.framing {
                Framing::Length(length) => length - self.received,
                Framing::Chunked { left, .. } => *left,
            };
            let fitting = usize::try_from(fitting)?.min(bytes.len());
            take(&bytes[..fitting]);
            self.received += fitting as u64;
            bytes = &bytes[fitting..];
            if let Framing::Chunked { left, .. } = &mut self.framing {
                *left -= fitting as u64;
                if *left == 0 {
                    bytes = self.between_chunks(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Reads to the end of the line that tells the size of the next chunk, and gives what follows.
    fn between_chunks<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let Framing::Chunked {
            left,
            line,
            last,
            ended,
        } = &mut self.framing
        else {
            return Ok(bytes);
        };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            line.extend_from_slice(bytes);
            return Ok(&[]);
        };
        line.extend_from_slice(&bytes[..end]);
        let text = std::str::from_utf8(line)?.trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            // The end of a chunk, or of the last one.
            *ended = *last;
        } else {
            *left = u64::from_str_radix(&text, 16)?;
            *last = *left == 0;
        }
        Ok(&bytes[end + 1..])
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
