//! The HTTP surface over real sockets.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

#[path = "exporter/chunked.rs"]
mod chunked;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use chrono::DateTime;
use iam_key_exporter::clock::Clock;
use iam_key_exporter::metrics::exposition::Exposer;
use iam_key_exporter::snapshot::{KeyIdDisplay, Snapshot};
use iam_key_exporter::web::listen::ListenAddress;
use iam_key_exporter::web::routes::{Readiness, Routes, RoutesConfig};
use iam_key_exporter::web::server::{self, Limits};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine; a test that gets there has failed.
const DEADLINE: Duration = Duration::from_secs(20);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn registries(users: u32) -> Vec<Arc<Registry>> {
    let family = Family::<Vec<(String, String)>, Gauge>::default();
    for user in 0..users {
        let labels = vec![("user_name".to_owned(), format!("user-{user}"))];
        family.get_or_create(&labels).set(i64::from(user));
    }
    let mut registry = Registry::default();
    registry.register("key_age_days", "Age", family);
    vec![Arc::new(registry)]
}

/// A running server.
struct Server {
    addresses: Vec<SocketAddr>,
    ready: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let exposer = Exposer::new(|| registries(3));
        Self::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await
    }

    async fn start_with(exposer: Exposer, path: &str, listen: &[&str], limits: Limits) -> Self {
        let addresses: Vec<ListenAddress> = listen.iter().map(|a| a.parse().unwrap()).collect();
        let bound = server::bind(&addresses, limits).await.unwrap();
        let addresses = bound.addresses();
        let ready = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&ready);
        let probe = Arc::new(move || {
            if asked.load(Ordering::SeqCst) {
                Readiness::Ready
            } else {
                Readiness::NotReady("no account was read yet".into())
            }
        });
        let before = Snapshot::before_first_refresh(
            Arc::default(),
            KeyIdDisplay::Full,
            Duration::from_mins(5),
        );
        let routes = Routes::new(RoutesConfig {
            telemetry_path: path.parse().unwrap(),
            exposer,
            probe,
            snapshot: watch::channel(Arc::new(before)).1,
            clock: Clock::Fixed(DateTime::UNIX_EPOCH),
            page: true,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.run(
            move |request| {
                let routes = routes.clone();
                async move {
                    let (head, _) = request.into_parts();
                    routes.respond(&head.method, &head.uri, &head.headers).await
                }
            },
            async {
                stopped.await.ok();
            },
        ));
        Self {
            addresses,
            ready,
            stop,
            task,
        }
    }

    async fn connect(&self) -> Client {
        Client::connect(self.addresses[0]).await
    }

    /// Sends one request on a connection of its own.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.connect().await.ask(method, path, headers).await
    }

    async fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[]).await
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
    }

    async fn receive(&mut self, to_head: bool) -> Response {
        timeout(DEADLINE, self.receive_unbounded(to_head))
            .await
            .expect("no response in time")
    }

    async fn receive_unbounded(&mut self, to_head: bool) -> Response {
        let mut received = Vec::new();
        let head_len = loop {
            if let Some(at) = received.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.0.read_buf(&mut received).await.unwrap();
            assert!(
                read > 0,
                "closed within a head: {:?}",
                String::from_utf8_lossy(&received)
            );
        };
        let mut body = received.split_off(head_len);
        let head = String::from_utf8(received).unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        if !to_head {
            let length: Option<usize> = headers
                .get("content-length")
                .map(|length| length.parse().unwrap());
            if length.is_none() {
                assert_eq!(headers["transfer-encoding"], "chunked");
            }
            body = loop {
                let whole = match length {
                    Some(length) => (body.len() >= length).then(|| body.clone()),
                    None => chunked::body(&body),
                };
                if let Some(whole) = whole {
                    break whole;
                }
                assert!(
                    self.0.read_buf(&mut body).await.unwrap() > 0,
                    "closed within a body"
                );
            };
            assert_eq!(length.unwrap_or(body.len()), body.len());
        }
        Response {
            status,
            headers,
            body,
        }
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send(method, path, headers).await;
        self.receive(method == "HEAD").await
    }

    /// Waits for the server to close the connection, and gives what it sent before.
    async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        timeout(DEADLINE, self.0.read_to_end(&mut rest))
            .await
            .expect("still open")
            .unwrap();
        rest
    }
}

#[derive(Debug)]
struct Response {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Response {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[tokio::test]
async fn metrics_are_served_in_the_format_asked_for() {
    let server = Server::start().await;
    let table = [
        (None, TEXT),
        (Some("*/*"), TEXT),
        (
            Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            OPEN_METRICS,
        ),
        (Some("application/json"), TEXT),
    ];
    for (accept, content_type) in table {
        let headers: Vec<_> = accept.iter().map(|accept| ("Accept", *accept)).collect();
        let response = server.ask("GET", "/metrics", &headers).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["content-type"], content_type, "{accept:?}");
        assert_eq!(response.headers["vary"], "Accept, Accept-Encoding");
        assert_eq!(response.headers["x-content-type-options"], "nosniff");
        assert!(!response.headers.contains_key("content-encoding"));
        assert!(
            response
                .text()
                .contains("\nkey_age_days{user_name=\"user-2\"} 2\n")
        );
        assert_eq!(
            response.text().ends_with("# EOF\n"),
            content_type == OPEN_METRICS
        );
    }
}

#[tokio::test]
async fn gzip_carries_the_same_body() {
    let exposer = Exposer::new(|| registries(20_000));
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await;
    let plain = server.get("/metrics").await;
    // Families come out in the order of a hash map, so lines are compared without theirs.
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let packed = server
        .ask("GET", "/metrics", &[("Accept-Encoding", "br, gzip")])
        .await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.body.len() < plain.body.len() / 3);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(lines(&unpacked), lines(plain.text()));
    assert_eq!(plain.text().lines().count(), 20_002);
}

/// Many series, then whatever is done at their end.
struct Long<F>(F);

impl<F> std::fmt::Debug for Long<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Long")
    }
}

impl<F: Fn() + Send + Sync + 'static> Collector for Long<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut family = encoder.encode_descriptor("long", "Long.", None, MetricType::Gauge)?;
        for number in 0..20_000_u32 {
            let label = [("number", number)];
            family.encode_family(&label)?.encode_gauge(&number)?;
        }
        (self.0)();
        Ok(())
    }
}

async fn server_of<F: Fn() + Send + Sync + Clone + 'static>(at_the_end: F) -> Server {
    let exposer = Exposer::new(move || {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Long(at_the_end.clone())));
        vec![Arc::new(registry)]
    });
    Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_is_sent_while_it_is_rendered() {
    let (permit, permits) = mpsc::channel::<()>();
    let permits = Arc::new(Mutex::new(permits));
    let server = server_of(move || permits.lock().unwrap().recv().unwrap()).await;
    let mut client = server.connect().await;
    client.send("GET", "/metrics", &[]).await;
    let mut begun = vec![0; 64 * 1024];
    timeout(DEADLINE, client.0.read_exact(&mut begun))
        .await
        .expect("nothing comes before all is rendered")
        .unwrap();
    permit.send(()).unwrap();
    let rest = timeout(DEADLINE, async {
        let mut all = begun;
        while !all.ends_with(b"\r\n0\r\n\r\n") {
            assert!(client.0.read_buf(&mut all).await.unwrap() > 0);
        }
        all
    });
    let all = rest.await.expect("the end never comes");
    let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let body = chunked::body(&all[head + 4..]).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert_eq!(text.matches("\nlong{").count(), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_does_not_look_whole() {
    let server = server_of(|| panic!("the end breaks")).await;
    let mut client = server.connect().await;
    client.send("GET", "/metrics", &[]).await;
    let received = client.closed().await;
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let head = received.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    assert_eq!(chunked::body(&received[head + 4..]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_of_a_long_body_tells_no_wrong_length() {
    let server = server_of(|| {}).await;
    let mut client = server.connect().await;
    client
        .send("HEAD", "/metrics", &[("Connection", "close")])
        .await;
    let head = client.receive(true).await;
    assert_eq!(head.status, 200);
    assert_ne!(
        head.headers.get("content-length").map(String::as_str),
        Some("0")
    );
    assert_eq!(client.closed().await, b"");
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start().await;
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/nowhere"] {
        let get = server.get(path).await;
        let mut client = server.connect().await;
        client.send("HEAD", path, &[("Connection", "close")]).await;
        let head = client.receive(true).await;
        assert!(
            head.body.is_empty() && client.closed().await.is_empty(),
            "{path}"
        );
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.headers[name], get.headers[name], "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_refused_where_something_is() {
    let server = Server::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FROB"] {
        for path in ["/metrics", "/", "/-/healthy", "/readyz"] {
            let response = server.ask(method, path, &[("Content-Length", "0")]).await;
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.headers["allow"], "GET, HEAD");
        }
        let response = server
            .ask(method, "/nowhere", &[("Content-Length", "0")])
            .await;
        assert_eq!(response.status, 404, "{method}");
    }
}

#[tokio::test]
async fn unknown_paths_are_not_echoed() {
    let server = Server::start().await;
    for path in ["/nowhere", "/metrics/", "/%0a%3Cscript%3E"] {
        let response = server.get(path).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.text().contains(&path[1..]), "{path}");
    }
    // What looks like a path in the query leads nowhere; the page has no such parameter.
    assert_eq!(server.get("/?/metrics&").await.status, 400);
    assert_eq!(server.get("/metrics?collect[]=x").await.status, 200);
}

#[tokio::test]
async fn readiness_follows_the_probe_and_health_does_not() {
    let server = Server::start().await;
    server.ready.store(false, Ordering::SeqCst);
    for path in ["/-/ready", "/readyz"] {
        let response = server.get(path).await;
        assert_eq!(response.status, 503);
        assert_eq!(response.text(), "Not ready: no account was read yet\n");
    }
    for path in ["/-/healthy", "/healthz", "/livez"] {
        assert_eq!(server.get(path).await.status, 200);
    }
    server.ready.store(true, Ordering::SeqCst);
    for path in ["/-/ready", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn the_page_links_to_the_metrics_and_allows_no_script_but_its_own() {
    let exposer = Exposer::new(|| registries(1));
    let listen = ["127.0.0.1:0"];
    let server = Server::start_with(exposer, "/iam&keys", &listen, Limits::default()).await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
    for part in [
        "<html lang=\"en\">",
        "<title>",
        "name=\"viewport\"",
        "href=\"./iam&amp;keys\"",
        "href=\"./api/v1/keys\"",
    ] {
        assert!(page.text().contains(part), "{part}");
    }
    assert_eq!(page.text().matches("<script").count(), 1);
    assert!(page.headers["content-security-policy"].contains("script-src 'sha256-"));
    assert_eq!(server.get("/iam&keys").await.status, 200);
    assert_eq!(server.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn metrics_may_be_served_at_the_root() {
    let exposer = Exposer::new(|| registries(1));
    let server = Server::start_with(exposer, "/", &["127.0.0.1:0"], Limits::default()).await;
    assert_eq!(server.get("/").await.headers["content-type"], TEXT);
}

#[tokio::test]
async fn a_render_that_breaks_is_an_error_and_the_next_one_is_served() {
    let renders = AtomicUsize::new(0);
    let exposer = Exposer::new(move || {
        assert!(
            renders.fetch_add(1, Ordering::SeqCst) > 0,
            "the first render breaks"
        );
        registries(1)
    });
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET", "/metrics", &[]).await.status, 500);
    assert_eq!(client.ask("GET", "/metrics", &[]).await.status, 200);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for _ in 0..5 {
        assert_eq!(client.ask("GET", "/metrics", &[]).await.status, 200);
        assert_eq!(client.ask("HEAD", "/metrics", &[]).await.status, 200);
        assert_eq!(client.ask("GET", "/nowhere", &[]).await.status, 404);
    }
    client
        .send("GET", "/livez", &[("Connection", "close")])
        .await;
    assert_eq!(client.receive(false).await.status, 200);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let exposer = Exposer::new(|| registries(1));
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], limits).await;
    let mut client = server.connect().await;
    client
        .0
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    client.closed().await;
    assert_eq!(server.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let server = Server::start().await;
    let padding = "x".repeat(17 * 1024);
    let mut client = server.connect().await;
    client
        .send("GET", "/metrics", &[("Padding", &padding)])
        .await;
    let answer = String::from_utf8(client.closed().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client
        .0
        .write_all(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
        .await
        .unwrap();
    let answer = String::from_utf8(client.closed().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn connections_past_the_cap_wait_for_a_place() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let exposer = Exposer::new(|| registries(1));
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], limits).await;
    let mut first = server.connect().await;
    assert_eq!(first.ask("GET", "/livez", &[]).await.status, 200);
    let mut second = server.connect().await;
    second.send("GET", "/livez", &[]).await;
    // The first is answered again while the second waits, although it was asked later.
    assert_eq!(first.ask("GET", "/livez", &[]).await.status, 200);
    let mut byte = [0];
    assert_eq!(
        second.0.try_read(&mut byte).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(first);
    assert_eq!(second.receive(false).await.status, 200);
}

#[tokio::test]
async fn every_listener_serves() {
    let exposer = Exposer::new(|| registries(1));
    let listen = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"];
    let server = Server::start_with(exposer, "/metrics", &listen, Limits::default()).await;
    assert_eq!(server.addresses.len(), 3);
    assert!(server.addresses[1].is_ipv6());
    for address in &server.addresses {
        let response = Client::connect(*address)
            .await
            .ask("GET", "/metrics", &[])
            .await;
        assert_eq!(response.status, 200, "{address}");
    }
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_address() {
    let server = Server::start().await;
    let taken = server.addresses[0];
    let addresses = [
        "127.0.0.1:0".parse().unwrap(),
        taken.to_string().parse().unwrap(),
    ];
    let error = server::bind(&addresses, Limits::default())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&taken.to_string()) && text.contains("address already in use"),
        "{text}"
    );
    assert!(!text.contains('\n'));
}

/// An exposer whose renders say that they began and wait for a permit.
fn gated() -> (Exposer, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, begins) = mpsc::channel();
    let (permit, permits) = mpsc::channel::<()>();
    let permits = Mutex::new(permits);
    let exposer = Exposer::new(move || {
        begun.send(()).unwrap();
        permits.lock().unwrap().recv().ok();
        registries(2)
    });
    (exposer, begins, permit)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_what_is_in_flight_and_closes_the_rest() {
    let (exposer, begins, permit) = gated();
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await;
    let address = server.addresses[0];
    let mut idle = server.connect().await;
    assert_eq!(idle.ask("GET", "/livez", &[]).await.status, 200);
    let mut silent = server.connect().await;
    let mut scrape = server.connect().await;
    scrape.send("GET", "/metrics", &[]).await;
    tokio::task::spawn_blocking(move || begins.recv_timeout(DEADLINE).unwrap())
        .await
        .unwrap();

    let stopped_at = Instant::now();
    server.stop.send(()).unwrap();
    assert!(idle.closed().await.is_empty());
    assert!(silent.closed().await.is_empty());
    assert!(
        TcpStream::connect(address).await.is_err(),
        "still listening"
    );
    assert!(!server.task.is_finished(), "the scrape was given up");
    permit.send(()).unwrap();
    let response = scrape.receive(false).await;
    assert_eq!(response.status, 200);
    assert!(response.text().contains("user-1"));
    assert_eq!(response.headers["connection"], "close");
    assert!(scrape.closed().await.is_empty());
    timeout(DEADLINE, server.task).await.unwrap().unwrap();
    // Nothing waited for the drain time to pass.
    assert!(stopped_at.elapsed() < Limits::default().drain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_cuts_off_what_does_not_end() {
    let (exposer, begins, permit) = gated();
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], limits).await;
    let mut scrape = server.connect().await;
    scrape.send("GET", "/metrics", &[]).await;
    tokio::task::spawn_blocking(move || begins.recv_timeout(DEADLINE).unwrap())
        .await
        .unwrap();
    server.stop.send(()).unwrap();
    timeout(DEADLINE, server.task).await.unwrap().unwrap();
    assert!(scrape.closed().await.is_empty());
    drop(permit);
}

/// One series whose label is larger than what the kernel buffers on a loopback connection.
fn a_large_series() -> Vec<Arc<Registry>> {
    let family = Family::<Vec<(String, String)>, Gauge>::default();
    let label = "x".repeat(16 * 1024 * 1024);
    family
        .get_or_create(&vec![("user_name".to_owned(), label)])
        .set(1);
    let mut registry = Registry::default();
    registry.register("key_age_days", "Age", family);
    vec![Arc::new(registry)]
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = Limits {
        send_timeout: Duration::from_millis(100),
        connections: 1,
        ..Limits::default()
    };
    let exposer = Exposer::new(a_large_series);
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], limits).await;
    let mut stalled = server.connect().await;
    stalled.send("GET", "/metrics", &[]).await;
    // There is room for one connection, so the second is answered once the first is gone.
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_no_harm() {
    let exposer = Exposer::new(|| registries(50_000));
    let server = Server::start_with(exposer, "/metrics", &["127.0.0.1:0"], Limits::default()).await;
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send("GET", "/metrics", &[]).await;
        let mut some = [0; 1024];
        client.0.read_exact(&mut some).await.unwrap();
    }
    assert_eq!(server.get("/metrics").await.text().lines().count(), 50_002);
}
