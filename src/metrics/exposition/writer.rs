//! The sink that `prometheus-client` writes into: corrects the lines that begin with `#`, passes sample
//! lines on, and cuts the result into chunks.

use std::fmt;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::blocks::{BLOCK, Blocks};
use super::{Encoding, Exposition, Format};

/// Writes one exposition.
///
/// A sample line arrives in some twenty pieces, so the work per piece is the cost of a scrape. The writer
/// relies on two habits of `prometheus-client`, which tests pin down: a newline that ends a line is the
/// last byte of its piece, and label values are escaped, so that a sample line holds no other newline.
pub(super) struct Writer<'a> {
    format: Format,
    line: Line,
    /// The `#` line that is being received, HELP text already escaped.
    meta: String,
    /// In [`Format::Text`], the HELP line whose family name is settled by the TYPE line after it.
    held_help: Option<Help>,
    body: Body<'a>,
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

impl<'a> Writer<'a> {
    pub(super) fn new(
        exposition: &'a Exposition,
        format: Format,
        encoding: Encoding,
        blocks: &Blocks,
    ) -> Self {
        Self {
            format,
            line: Line::Start,
            meta: String::new(),
            held_help: None,
            body: Body::new(exposition, encoding, blocks),
        }
    }

    pub(super) fn finish(mut self) -> fmt::Result {
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

impl fmt::Write for Writer<'_> {
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
struct Body<'a> {
    block: Vec<u8>,
    blocks: Blocks,
    target: Target<'a>,
}

enum Target<'a> {
    Identity(Chunks<'a>),
    Gzip(Box<GzEncoder<Chunks<'a>>>),
}

impl<'a> Body<'a> {
    fn new(exposition: &'a Exposition, encoding: Encoding, blocks: &Blocks) -> Self {
        let chunks = Chunks::new(exposition, blocks);
        Self {
            block: blocks.take(),
            blocks: blocks.clone(),
            target: match encoding {
                Encoding::Identity => Target::Identity(chunks),
                Encoding::Gzip => {
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
                chunks.push(std::mem::replace(&mut self.block, self.blocks.take()));
            }
            Target::Gzip(encoder) => {
                encoder
                    .write_all(&self.block)
                    .expect("compressing into memory cannot fail");
                self.block.clear();
            }
        }
    }

    fn finish(mut self) -> io::Result<()> {
        match self.target {
            Target::Identity(chunks) => chunks.end(self.block),
            Target::Gzip(mut encoder) => {
                encoder.write_all(&self.block)?;
                self.block.clear();
                self.blocks.put_back(self.block);
                let mut chunks = encoder.finish()?;
                let open = std::mem::take(&mut chunks.open);
                chunks.end(open);
            }
        }
        Ok(())
    }
}

/// Hands chunks on to the exposition.
struct Chunks<'a> {
    exposition: &'a Exposition,
    pushed: usize,
    /// What gzip has put out since the last chunk.
    open: Vec<u8>,
    blocks: Blocks,
}

impl<'a> Chunks<'a> {
    fn new(exposition: &'a Exposition, blocks: &Blocks) -> Self {
        Self {
            exposition,
            pushed: 0,
            open: Vec::new(),
            blocks: blocks.clone(),
        }
    }

    fn push(&mut self, full: Vec<u8>) {
        self.pushed += 1;
        self.exposition.push(self.blocks.seal(full));
    }

    fn end(self, last: Vec<u8>) {
        // Before the end, or else a reader may have given blocks back that there is no room for.
        self.blocks.make_room(self.pushed + 1);
        let last = if last.is_empty() {
            self.blocks.put_back(last);
            None
        } else {
            Some(self.blocks.seal(last))
        };
        self.exposition.end(last, Ok(()));
    }
}

impl io::Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            self.open = self.blocks.take();
        }
        if self.open.len() == BLOCK {
            let full = std::mem::replace(&mut self.open, self.blocks.take());
            self.push(full);
        }
        let fitting = bytes.len().min(BLOCK - self.open.len());
        self.open.extend_from_slice(&bytes[..fitting]);
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
