//! The real Prometheus against the exporter behind TLS, certificates of clients and a login.
//!
//! Ignored by a plain `cargo test`, which needs nothing but Rust; `make test` sets the parts up and runs them all.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod exporter;
mod support_real;
mod web_support;

use std::fs;
use std::path::Path;

use exporter::{Exporter, command};
use support_real::Prometheus;
use web_support::pki::{Ca, loopback, replace};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus"]
async fn prometheus_scrapes_the_shipped_example() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let servers = Ca::new("servers");
    let clients = Ca::new("clients");
    let shipped = |name: &str| {
        fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("deploy/web")
                .join(name),
        )
        .unwrap()
    };
    let identity = servers.issue(&loopback());
    for (name, text) in [
        ("server.pem", &identity.cert),
        ("server-key.pem", &identity.key),
        ("server-ca.pem", &servers.pem),
        ("clients-ca.pem", &clients.pem),
        ("web-config.yml", &shipped("web-config.yml")),
        ("prometheus-password", &"change me".to_owned()),
    ] {
        replace(&path.join(name), text);
    }
    let prometheus = clients.issue(&loopback());
    replace(&path.join("prometheus.pem"), &prometheus.cert);
    replace(&path.join("prometheus-key.pem"), &prometheus.key);
    let exporter = Exporter::start(
        command()
            .args(["--source=demo", "--web.config.file"])
            .arg(path.join("web-config.yml")),
    );
    let target = exporter.addresses[0];
    let config = shipped("prometheus.yml")
        .replace("exporter.example.org:10114", &target.to_string())
        .replace("scrape_interval: 60s", "scrape_interval: 1s");
    let prometheus = Prometheus::configured(path, &config);
    let users = prometheus
        .query_until("count(aws_iam_access_key_age_days)", |elements| {
            elements.first().map(|element| element.value)
        })
        .await;
    assert!(users > 0.0);
    assert_eq!(prometheus.last_error().await, "");

    // Another certificate on either side, without a restart of either.
    let identity = servers.issue(&loopback());
    replace(&path.join("server-key.pem"), &identity.key);
    replace(&path.join("server.pem"), &identity.cert);
    let before = support_real::now();
    prometheus
        .query_until("up", |elements| {
            let up = elements.first()?;
            (up.value > 0.5 && up.at > before + 3.0).then_some(())
        })
        .await;

    // A stranger, and nobody at all.
    let stranger = Ca::new("strangers").issue(&loopback());
    replace(&path.join("prometheus-key.pem"), &stranger.key);
    replace(&path.join("prometheus.pem"), &stranger.cert);
    let refused = Prometheus::configured(path, &config);
    let error = refused.last_error().await;
    assert!(
        error.contains("certificate") || error.contains("tls"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus"]
async fn prometheus_is_told_of_a_wrong_password() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("right", 4).unwrap();
    let file = folder.path().join("web.yml");
    replace(&file, &format!("basic_auth_users:\n  prometheus: {hash}\n"));
    let exporter = Exporter::start(
        command()
            .args(["--source=demo", "--web.config.file"])
            .arg(&file),
    );
    let config = format!(
        "scrape_configs:\n  - job_name: iam-key-exporter\n    scrape_interval: 1s\n    \
         basic_auth: {{username: prometheus, password: wrong}}\n    \
         static_configs: [{{targets: ['{}']}}]\n",
        exporter.addresses[0]
    );
    let prometheus = Prometheus::configured(folder.path(), &config);
    let error = prometheus.last_error().await;
    assert!(error.contains("401"), "{error}");
}
