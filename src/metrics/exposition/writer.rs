//! The sink that `prometheus-client` writes into: corrects the lines that begin with `#`, passes sample
//! lines on, and cuts the result into chunks.

use std::fmt;
use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::blocks::{BLOCK, Blocks};
use super::{Encoding, Exposition, Format};

/// Writes one exposition.
///
/// A sample line arrives in some twenty pieces, so the work per piece is the cost of a scrape. The writer
/// relies on two habits of `prometheus-client`, which tests pin down: a newline that ends a line is the
/// last byte of its piece, and label values are escaped, so that a sample line holds no other newline.
pub(super) struct Writer {
    format: Format,
    line: Line,
    /// The `#` line that is being received, HELP text already escaped.
    meta: String,
    /// In [`Format::Text`], the HELP line whose family name is settled by the TYPE line after it.
    held_help: Option<Help>,
    body: Body,
}

/// Where in a line the next piece falls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Start,
    Sample,
    Meta,
}

struct Help {
    family: String,
    text: String,
}

impl Writer {
    pub(super) fn new(format: Format, encoding: Encoding, blocks: &Blocks) -> Self {
        Self {
            format,
            line: Line::Start,
            meta: String::new(),
            held_help: None,
            body: Body::new(encoding, blocks),
        }
    }

    pub(super) fn finish(mut self) -> Result<Exposition, fmt::Error> {
        self.release_help(None);
        self.body.finish().map_err(|_| fmt::Error)
    }

    fn begin_line(&mut self, piece: &str) {
        match piece.as_bytes().first() {
            // A line of its own, left over from a HELP text that ends in a newline. No line is empty.
            None | Some(b'\n') => {}
            Some(b'#') => {
                self.line = Line::Meta;
                self.meta_piece(piece);
            }
            Some(_) => {
                self.release_help(None);
                self.sample_piece(piece);
            }
        }
    }

    #[inline]
    fn sample_piece(&mut self, piece: &str) {
        self.body.push(piece.as_bytes());
        self.line = if piece.as_bytes().last() == Some(&b'\n') {
            Line::Start
        } else {
            Line::Sample
        };
    }

    fn meta_piece(&mut self, piece: &str) {
        match piece.strip_suffix('\n') {
            Some(rest) => {
                self.meta.push_str(rest);
                let meta = std::mem::take(&mut self.meta);
                self.meta_line(&meta);
                self.meta = meta;
                self.meta.clear();
                self.line = Line::Start;
            }
            None => self.meta.push_str(piece),
        }
    }

    /// Takes a whole `#` line without its newline. Newlines inside are those of an unescaped HELP text.
    fn meta_line(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ').skip(1);
        let keyword = words.next().unwrap_or_default();
        let family = words.next().unwrap_or_default();
        let rest = words.next().unwrap_or_default();
        match (self.format, keyword) {
            (_, "HELP") => {
                self.release_help(None);
                self.held_help = Some(Help {
                    family: family.to_owned(),
                    text: escape_help(rest, self.format),
                });
            }
            (Format::Text, "TYPE") => {
                let (suffix, kind) = text_type(rest);
                let family = format!("{family}{suffix}");
                self.release_help(Some(&family));
                self.push_line(&["# TYPE ", &family, " ", kind]);
            }
            (Format::Text, _) => {}
            (Format::OpenMetrics, _) => {
                self.release_help(None);
                self.push_line(&[line]);
            }
        }
    }

    /// Writes the held HELP line, if any, under the name given or else its own.
    fn release_help(&mut self, family: Option<&str>) {
        if let Some(help) = self.held_help.take() {
            let family = family.unwrap_or(&help.family);
            self.push_line(&["# HELP ", family, " ", &help.text]);
        }
    }

    fn push_line(&mut self, parts: &[&str]) {
        for part in parts {
            self.body.push(part.as_bytes());
        }
        self.body.push(b"\n");
    }
}

impl fmt::Write for Writer {
    #[inline]
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        match self.line {
            Line::Sample => self.sample_piece(piece),
            Line::Start => self.begin_line(piece),
            Line::Meta => self.meta_piece(piece),
        }
        Ok(())
    }
}

/// What Prometheus text 0.0.4 calls an `OpenMetrics` type, and what it appends to the family's name:
/// there a family bears the name of its samples.
fn text_type(open_metrics: &str) -> (&'static str, &'static str) {
    match open_metrics {
        "counter" => ("_total", "counter"),
        "gauge" | "stateset" => ("", "gauge"),
        "histogram" => ("", "histogram"),
        "summary" => ("", "summary"),
        "info" => ("_info", "gauge"),
        _ => ("", "untyped"),
    }
}

/// Escapes a HELP text; only `OpenMetrics` escapes double quotes there.
fn escape_help(text: &str, format: Format) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if format == Format::OpenMetrics => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Collects bytes into a block and hands on each full block.
struct Body {
    block: Vec<u8>,
    blocks: Blocks,
    target: Target,
}

enum Target {
    Identity(Vec<Bytes>),
    Gzip(Box<GzEncoder<Chunks>>),
}

impl Body {
    fn new(encoding: Encoding, blocks: &Blocks) -> Self {
        Self {
            block: blocks.take(),
            blocks: blocks.clone(),
            target: match encoding {
                Encoding::Identity => Target::Identity(Vec::new()),
                Encoding::Gzip => {
                    let chunks = Chunks::new(blocks);
                    Target::Gzip(Box::new(GzEncoder::new(chunks, Compression::fast())))
                }
            },
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > self.block.capacity() - self.block.len() {
            self.spill();
        }
        self.block.extend_from_slice(bytes);
    }

    #[cold]
    fn spill(&mut self) {
        if self.block.is_empty() {
            return;
        }
        match &mut self.target {
            Target::Identity(chunks) => {
                let full = std::mem::replace(&mut self.block, self.blocks.take());
                chunks.push(self.blocks.seal(full));
            }
            Target::Gzip(encoder) => {
                encoder
                    .write_all(&self.block)
                    .expect("compressing into memory cannot fail");
                self.block.clear();
            }
        }
    }

    fn finish(mut self) -> io::Result<Exposition> {
        self.spill();
        self.blocks.put_back(self.block);
        let chunks = match self.target {
            Target::Identity(chunks) => chunks,
            Target::Gzip(encoder) => encoder.finish()?.seal(),
        };
        self.blocks.make_room(chunks.len());
        Ok(Exposition::new(chunks))
    }
}

/// Where gzip's output goes.
struct Chunks {
    full: Vec<Bytes>,
    open: Vec<u8>,
    blocks: Blocks,
}

impl Chunks {
    fn new(blocks: &Blocks) -> Self {
        Self {
            full: Vec::new(),
            open: blocks.take(),
            blocks: blocks.clone(),
        }
    }

    fn seal(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.full.push(self.blocks.seal(self.open));
        }
        self.full
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.len() == BLOCK {
            let full = std::mem::replace(&mut self.open, self.blocks.take());
            self.full.push(self.blocks.seal(full));
        }
        let fitting = bytes.len().min(BLOCK - self.open.len());
        self.open.extend_from_slice(&bytes[..fitting]);
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
