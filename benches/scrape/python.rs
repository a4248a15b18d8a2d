//! Prometheus' Python client, as the measure to compare with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use super::{
    address_of,
    client::{Client, Kind},
    measure::{child::Process, median, timed},
};

/// What Python takes for the same series.
pub(crate) struct Python {
    /// In the process.
    pub(crate) render: Duration,
    /// From request to the body's end.
    pub(crate) end_to_end: Duration,
}

/// A Python that has the client, if it was set up.
fn interpreter() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = env::var_os("IAM_KEY_EXPORTER_TEST_VENV")
        .map_or_else(|| root.join("target/venv"), PathBuf::from);
    Some(venv.join("bin/python")).filter(|python| python.is_file())
}

/// Measures Python with the series of an exposition in text format, for each of [`Kind::ALL`]; nothing if it wasn't
/// set up.
pub(crate) fn measure(text: &[u8], keys: usize) -> anyhow::Result<Option<Vec<Python>>> {
    let Some(interpreter) = interpreter() else {
        return Ok(None);
    };
    // It takes seconds for 100 000 keys, so noise hardly shows.
    let rounds = if keys > 10_000 { 1 } else { 3 };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scrape-{keys}.txt"));
    fs::write(&path, text)?;
    let mut process = Process::start(
        Command::new(interpreter)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/benches/python/exposition.py"
            ))
            .arg(path)
            .arg(rounds.to_string()),
    )?;
    let mut renders = Vec::new();
    for _ in Kind::ALL {
        let line = process.line()?;
        let (seconds, _) = line.split_once(' ').context("two numbers are missing")?;
        renders.push(Duration::try_from_secs_f64(seconds.parse()?)?);
    }
    let address = address_of(&mut process)?;
    let mut measured = Vec::new();
    for (kind, render) in Kind::ALL.into_iter().zip(renders) {
        let mut times = Vec::new();
        for _ in 0..rounds {
            // Its server speaks HTTP/1.0.
            let mut client = Client::connect(address)?;
            times.push(timed(|| client.scrape(kind))?.0);
        }
        measured.push(Python {
            render,
            end_to_end: median(times),
        });
    }
    Ok(Some(measured))
}
