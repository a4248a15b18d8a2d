//! How many scrapes can be had a second, with and without TLS and a login, beside the least that hyper can do.
//!
//! Servers run in processes of their own, and so does the load.

#![expect(clippy::print_stdout, reason = "the table is the product")]

mod exporter;
mod hello;
mod identity;
mod load;
#[path = "../measure/mod.rs"]
mod measure;
#[path = "../scrape/population.rs"]
mod population;

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, bail};

use identity::Identity;
use load::{Figures, Load};
use measure::{child::Process, machine, table::Table};

const KEYS: usize = 1_000;
const CONNECTIONS: [usize; 3] = [1, 10, 100];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["role", "exporter"] => exporter::serve(None),
        ["role", "exporter", config] => exporter::serve(Some(config)),
        ["role", "hello"] => hello::serve(None),
        ["role", "hello", folder] => hello::serve(Some(Path::new(folder))),
        ["role", ..] => bail!("unknown role {arguments:?}"),
        _ => {
            println!("## Web\n\n{}", machine::describe());
            match load::wrk() {
                Some(wrk) => println!("{}", measure_all(&wrk)?),
                None => println!("wrk is not set up, so nothing was measured."),
            }
            Ok(())
        }
    }
}

/// A server as it is measured.
struct Case {
    server: &'static str,
    transport: &'static str,
    encoding: &'static str,
    role: Vec<String>,
    is_tls: bool,
    headers: Vec<String>,
}

fn cases(identity: &Identity) -> Vec<Case> {
    let folder = identity.folder().display().to_string();
    let config = identity.config().display().to_string();
    let hello = |transport, is_tls, role: &[&str]| Case {
        server: "hello, world",
        transport,
        encoding: "identity",
        role: role.iter().map(|&text| text.to_owned()).collect(),
        is_tls,
        headers: Vec::new(),
    };
    let exporter = |encoding, is_secure: bool| {
        let mut role = vec!["exporter".to_owned()];
        let mut headers = vec![
            "Accept: application/openmetrics-text;version=1.0.0".to_owned(),
            format!("Accept-Encoding: {encoding}"),
        ];
        if is_secure {
            role.push(config.clone());
            headers.push(Identity::header());
        }
        Case {
            server: "exporter",
            transport: if is_secure { "TLS, login" } else { "plain" },
            encoding,
            role,
            is_tls: is_secure,
            headers,
        }
    };
    vec![
        hello("plain", false, &["hello"]),
        hello("TLS", true, &["hello", &folder]),
        exporter("identity", false),
        exporter("identity", true),
        exporter("gzip", false),
        exporter("gzip", true),
    ]
}

fn measure_all(wrk: &Path) -> anyhow::Result<String> {
    let identity = Identity::make()?;
    let mut table = Table::new(
        format!("Requests a second, {KEYS} keys"),
        3,
        &[
            "server",
            "transport",
            "encoding",
            "connections",
            "bytes each",
            "requests/s",
            "p99 ms",
        ],
    );
    for case in cases(&identity) {
        let mut server = Process::role(&case.role, &[])?;
        let address = address_of(&mut server)?;
        for connections in CONNECTIONS {
            let load = Load {
                address,
                is_tls: case.is_tls,
                headers: case.headers.clone(),
                connections,
            };
            let Figures {
                per_second,
                slowest_of_a_hundred,
                bytes_each,
            } = load.run(wrk)?;
            table.row([
                case.server.to_owned(),
                case.transport.to_owned(),
                case.encoding.to_owned(),
                connections.to_string(),
                bytes_each.to_string(),
                format!("{per_second:.0}"),
                format!("{:.2}", slowest_of_a_hundred.as_secs_f64() * 1e3),
            ]);
        }
    }
    let notes = format!(
        "{} s of wrk with one thread for each row, on the same processors, over connections that are kept. There is \
         no limit on scrapes at a time. Scrapes that come within the same second may be given the same body while it is \
         sent; hello, world is a server of hyper that says just that.",
        load::SECONDS
    );
    Ok(format!("{notes}\n{table}"))
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
