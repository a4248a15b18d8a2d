//! Whatever bytes a client sends, the server answers in HTTP or closes, sends nothing of them back
//! that a browser would take for markup, and ends.

#![no_main]

use std::{cell::RefCell, convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use iam_key_exporter_fuzz::{
    clock::Clock,
    config::Reloads,
    counts::{RefreshCounts, RequestCounts},
    metrics,
    policy::Policy,
    snapshot::{AccountState, KeyIdDisplay, Snapshot},
    source::demo::Demo,
    web::routes::{Readiness, Routes, RoutesConfig},
};
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    sync::watch,
};

/// What no answer holds unless a client put it there.
const MARK: &str = "<fuzz";

thread_local! {
    static SERVER: RefCell<(Runtime, Routes)> = RefCell::new((
        Builder::new_current_thread().enable_all().build().expect("a runtime starts"),
        routes(),
    ));
}

fn routes() -> Routes {
    let now: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().expect("it is RFC 3339");
    let accounts = Demo::new(now)
        .collect(now)
        .into_iter()
        .map(|outcome| {
            let inventory = outcome.result.expect("the demo never fails");
            AccountState {
                id: outcome.account.expect("the demo tells its accounts"),
                failures: inventory.reasons(),
                inventory: Some(Arc::new(inventory)),
                reached: true,
                last_success: Some(now),
                duration: outcome.duration,
            }
        })
        .collect();
    let snapshot = Snapshot {
        accounts,
        tried: true,
        ..Snapshot::before_first_refresh(
            Arc::new(Policy::default()),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        )
    };
    // Nobody publishes anything new, but readers keep what there is.
    let (_, snapshot) = watch::channel(Arc::new(snapshot));
    let clock = Clock::Fixed(now);
    Routes::new(RoutesConfig {
        telemetry_path: "/metrics".parse().expect("it is a path"),
        exposer: metrics::exposer(
            snapshot.clone(),
            clock,
            Arc::new(RequestCounts::default()),
            Arc::new(RefreshCounts::default()),
            None,
            Reloads::started(now),
        ),
        probe: Arc::new(|| Readiness::Ready),
        snapshot,
        clock,
        page: true,
    })
}

async fn exchange(routes: &Routes, bytes: &[u8]) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let service = service_fn(|request: Request<Incoming>| async move {
        let answer = routes
            .respond(request.method(), request.uri(), request.headers())
            .await;
        Ok::<_, Infallible>(answer)
    });
    let serving = http1::Builder::new()
        .max_header_size(16 * 1024)
        .serve_connection(TokioIo::new(server), service);
    let asking = async {
        let mut answers = Vec::new();
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let write = async {
            // The server may hang up on what makes no sense.
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        };
        let read = reader.read_to_end(&mut answers);
        let ((), read) = tokio::join!(write, read);
        let _ = read;
        answers
    };
    let (_, answers) = tokio::join!(serving, asking);
    answers
}

fuzz_target!(|bytes: &[u8]| {
    SERVER.with_borrow(|(runtime, routes)| {
        let answers = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(10), exchange(routes, bytes))
                .await
                .expect("the connection ends")
        });
        if answers.is_empty() {
            return;
        }
        assert!(answers.starts_with(b"HTTP/1."), "not HTTP");
        let text = String::from_utf8_lossy(&answers);
        assert!(
            !text.to_ascii_lowercase().contains(MARK),
            "markup of the client"
        );
    });
});
