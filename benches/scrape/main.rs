//! What a scrape costs: time, bytes and memory, beside Python's client and beside copying the same bytes.
//!
//! Servers run in processes of their own, and the client in this one, which drains bodies and keeps none.

#![expect(clippy::print_stdout, reason = "the tables are the product")]

mod client;
mod copy;
mod costs;
mod exporter;
#[path = "../measure/mod.rs"]
mod measure;
mod memory;
mod population;
mod python;

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, bail};

use measure::{child::Process, machine};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["role", "serve", keys] => exporter::serve(keys.parse()?),
        ["role", "render", keys] => exporter::time_renders(keys.parse()?),
        ["role", "copy", path] => copy::serve(path),
        ["role", ..] => bail!("unknown role {arguments:?}"),
        _ => {
            println!("## Scrape\n\n{}", machine::describe());
            println!("{}", costs::measure()?);
            println!("{}", memory::measure()?);
            Ok(())
        }
    }
}

/// The address that a serving process, of any role, prints first.
fn address_of(server: &mut Process) -> anyhow::Result<SocketAddr> {
    let line = server.line()?;
    let port = line
        .parse()
        .with_context(|| format!("{line:?} is no port"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Waits until the parent closes the other end, also by ending.
fn until_stdin_ends() {
    let mut rest = Vec::new();
    // An error is an end too.
    let _ = io::stdin().read_to_end(&mut rest);
}
