//! How much memory scrapes take, one after another and at once.

use std::{sync::Barrier, thread};

use anyhow::Context as _;

use super::{
    address_of,
    client::{Client, Kind},
    measure::{
        child::Process,
        table::{Table, mebibytes, target},
    },
};

const TIMES: usize = 5;

/// So many scrapes at once, of so many keys.
struct Burst {
    keys: usize,
    at_once: usize,
    kinds: &'static [Kind],
    described: &'static str,
    /// What the process may take at most at its peak, in MiB.
    most: u64,
}

const TEXT: &[Kind] = &[Kind::ALL[0]];

const BURSTS: [Burst; 5] = [
    Burst {
        keys: 10_000,
        at_once: 1,
        kinds: &Kind::ALL,
        described: "1, each kind in turn",
        most: 60,
    },
    Burst {
        keys: 10_000,
        at_once: 40,
        kinds: TEXT,
        described: "40, text",
        most: 200,
    },
    Burst {
        keys: 10_000,
        at_once: 40,
        kinds: &Kind::ALL,
        described: "40, all kinds",
        most: 200,
    },
    Burst {
        keys: 100_000,
        at_once: 4,
        kinds: TEXT,
        described: "4, text",
        most: 400,
    },
    Burst {
        keys: 100_000,
        at_once: 4,
        kinds: &Kind::ALL,
        described: "4, all kinds",
        most: 400,
    },
];

/// The table of all bursts.
pub(crate) fn measure() -> anyhow::Result<Table> {
    let mut table = Table::new(
        format!("Memory of the serving process, over {TIMES} bursts of scrapes"),
        2,
        &[
            "keys",
            "scrapes at once",
            "before MiB",
            "peak MiB",
            "after MiB",
            "target MiB",
        ],
    );
    for burst in BURSTS {
        table.row(burst.measure()?);
    }
    Ok(table)
}

impl Burst {
    fn measure(&self) -> anyhow::Result<[String; 6]> {
        let mut server = Process::role(["serve", &self.keys.to_string()], &[])?;
        let address = address_of(&mut server)?;
        let before = server.resident()?;
        let clients = self.at_once.max(self.kinds.len());
        let clients: Vec<Client> = (0..clients)
            .map(|_| Client::connect(address))
            .collect::<Result<_, _>>()?;
        server.reset_peak()?;
        if self.at_once == 1 {
            self.in_turn(clients)?;
        } else {
            self.at_once(clients)?;
        }
        let (peak, after) = (server.peak()?, server.resident()?);
        Ok([
            self.keys.to_string(),
            self.described.to_owned(),
            mebibytes(before),
            mebibytes(peak),
            mebibytes(after),
            target(peak < self.most << 20, format!("< {}", self.most)),
        ])
    }

    fn in_turn(&self, mut clients: Vec<Client>) -> anyhow::Result<()> {
        for _ in 0..TIMES {
            for (client, kind) in clients.iter_mut().zip(self.kinds) {
                client.scrape(*kind)?;
            }
        }
        Ok(())
    }

    fn at_once(&self, clients: Vec<Client>) -> anyhow::Result<()> {
        let barrier = Barrier::new(clients.len());
        thread::scope(|scope| {
            let scrapes: Vec<_> = clients
                .into_iter()
                .zip(self.kinds.iter().cycle())
                .map(|(mut client, kind)| {
                    let barrier = &barrier;
                    scope.spawn(move || -> anyhow::Result<()> {
                        // A scrape that fails must not leave the others waiting at the barrier.
                        let mut result = Ok(());
                        for _ in 0..TIMES {
                            barrier.wait();
                            result = result.and(client.scrape(*kind).map(drop));
                        }
                        result
                    })
                })
                .collect();
            scrapes
                .into_iter()
                .try_for_each(|scrape| scrape.join().ok().context("a client panicked")?)
        })
    }
}
