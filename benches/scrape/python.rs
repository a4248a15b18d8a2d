//! Prometheus' Python client, as the measure to compare with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    address_of,
    client::{Client, Kind},
    measure::{child::Process, median, timed},
};

/// What Python takes for the same series.
pub(crate) struct Python {
    /// In the process; not measured where it would take long.
    pub(crate) render: Option<Duration>,
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
    // It takes seconds for 100 000 keys.
    let (rounds, renders) = if keys > 10_000 { (1, 0) } else { (3, 3) };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scrape-{keys}.txt"));
    fs::write(&path, text)?;
    let mut process = Process::start(
        Command::new(interpreter)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/benches/python/exposition.py"
            ))
            .arg(path)
            .arg(renders.to_string()),
    )?;
    let mut render = || -> anyhow::Result<Option<Duration>> {
        if renders == 0 {
            return Ok(None);
        }
        let seconds = process.line()?.parse()?;
        Ok(Some(Duration::try_from_secs_f64(seconds)?))
    };
    let renders: Vec<_> = Kind::ALL
        .iter()
        .map(|_| render())
        .collect::<Result<_, _>>()?;
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
