//! Registries rendered as an exposition: the bytes that a scrape receives.
//!
//! `prometheus-client` writes `OpenMetrics` text only. The same bytes under `text/plain` would be wrong in
//! several ways (the names in counters' `# TYPE` lines, the `info` type, `# UNIT` and `# EOF`), and HELP
//! texts come out unescaped in either format. [`render`] puts both right on the fly and leaves sample
//! lines alone.

mod blocks;
mod exposer;
mod growing;
mod writer;

use std::fmt;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use blocks::Blocks;
pub use exposer::Exposer;
pub use growing::{Exposition, RenderError};
use writer::Writer;

/// The text format of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `OpenMetrics` 1.0.0 text.
    OpenMetrics,
    /// Prometheus text 0.0.4, what everybody can read.
    Text,
}

impl Format {
    /// The exact `Content-Type`. Prometheus 3 fails a scrape whose type it doesn't know.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The content coding of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// Compressed with gzip at its fastest level.
    Gzip,
}

/// Renders the registries one after another as a single exposition.
///
/// Families must differ between the registries: each family may appear once. Metrics must carry no
/// exemplars, which [`Format::Text`] has no syntax for.
///
/// # Errors
/// Fails if a collector does.
pub fn render<'a>(
    registries: impl IntoIterator<Item = &'a Registry>,
    format: Format,
    encoding: Encoding,
) -> Result<Exposition, fmt::Error> {
    let exposition = Exposition::default();
    render_into(
        &exposition,
        &Blocks::default(),
        registries,
        format,
        encoding,
    )?;
    Ok(exposition)
}

/// [`render`] into an exposition that may be read meanwhile, with memory that was used before. It is
/// ended only if all goes well.
fn render_into<'a>(
    exposition: &Exposition,
    blocks: &Blocks,
    registries: impl IntoIterator<Item = &'a Registry>,
    format: Format,
    encoding: Encoding,
) -> fmt::Result {
    let mut writer = Writer::new(exposition, format, encoding, blocks);
    for registry in registries {
        encode_registry(&mut writer, registry)?;
    }
    encode_eof(&mut writer)?;
    writer.finish()
}

#[cfg(test)]
mod tests;
