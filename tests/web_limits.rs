//! Limits that take patience to reach, made short: requests that are never answered, readers that take nothing, idle
//! connections, and the end of the server in the midst of requests.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]

mod web_support;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response};
use iam_key_exporter::metrics::exposition::{Encoding, Exposition, Format, render};
use iam_key_exporter::web::body::ResponseBody;
use iam_key_exporter::web::gate::Gate;
use iam_key_exporter::web::live::Live;
use iam_key_exporter::web::server::{self, Limits};
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use web_support::client::{Answer, Client, Connection, DEADLINE};
use web_support::pki::{Ca, loopback, replace};

/// A server over TLS, and over plain HTTP for whoever asks it so.
struct Server {
    address: SocketAddr,
    client: Client,
    /// Each request for `/slow` takes one to be answered.
    permits: Arc<Semaphore>,
    /// Requests for `/slow` that are there.
    waiting: Arc<AtomicUsize>,
    /// What `/scrape` gives.
    scrape: Arc<Exposition>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// More than fits into the buffers of sockets.
const LARGE: usize = 64 << 20;

/// Counts a request while it is there, however it ends.
struct Here(Arc<AtomicUsize>);

impl Here {
    fn new(waiting: Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn respond(
    request: Request<Incoming>,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    scrape: Arc<Exposition>,
) -> Response<ResponseBody> {
    let body = match request.uri().path() {
        "/scrape" => return Response::new(scrape.into()),
        "/slow" => {
            let _here = Here::new(waiting);
            permits.acquire().await.unwrap().forget();
            Bytes::from("slow")
        }
        "/large" => Bytes::from(vec![b'x'; LARGE]),
        _ => Bytes::from("fast"),
    };
    Response::new(body.into())
}

/// A few series with names so long that no buffers of sockets hold them.
fn large_exposition() -> Exposition {
    let series = Family::<Vec<(String, String)>, Gauge>::default();
    for number in 0..200 {
        let name = format!("{number}").repeat(20_000);
        let _ = series.get_or_create(&vec![("name".to_owned(), name)]);
    }
    let mut registry = Registry::default();
    registry.register("large", "Much to read", series);
    render([&registry], Format::OpenMetrics, Encoding::Identity).unwrap()
}

impl Server {
    async fn start(limits: Limits, protocol: Option<&str>) -> Self {
        Self::start_with(limits, protocol, "/slow", 0).await
    }

    async fn start_with(
        limits: Limits,
        protocol: Option<&str>,
        telemetry_path: &str,
        most_scrapes: usize,
    ) -> Self {
        let config = match protocol {
            Some(_) => "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n",
            None => "",
        };
        Self::start_configured(limits, protocol, telemetry_path, most_scrapes, config).await
    }

    async fn start_configured(
        limits: Limits,
        protocol: Option<&str>,
        telemetry_path: &str,
        most_scrapes: usize,
        config: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new("servers");
        ca.issue(&loopback()).write(folder.path(), "");
        let file = folder.path().join("web.yml");
        replace(&file, config);
        let live = Live::open(file).unwrap();
        let bound = server::bind(&["127.0.0.1:0".parse().unwrap()], limits)
            .await
            .unwrap()
            .with_tls_of(&live);
        let address = bound.addresses()[0];
        let gate = Gate::new(live, telemetry_path.parse().unwrap(), most_scrapes, limits);
        let permits = Arc::new(Semaphore::new(0));
        let waiting = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let scrape = Arc::new(large_exposition());
        let to_scrape = Arc::clone(&scrape);
        let (for_requests, here) = (Arc::clone(&permits), Arc::clone(&waiting));
        let answer = move |request: Request<Incoming>| {
            let (gate, permits, waiting) = (gate.clone(), for_requests.clone(), here.clone());
            let scrape = Arc::clone(&to_scrape);
            async move {
                let (head, body) = request.into_parts();
                let request = Request::from_parts(head.clone(), body);
                gate.pass(&head, || respond(request, permits, waiting, scrape))
                    .await
            }
        };
        let task = tokio::spawn(bound.run(answer, async {
            stopped.await.ok();
        }));
        Self {
            address,
            client: Client::new(&ca, None, protocol.as_slice()),
            permits,
            waiting,
            scrape,
            stop,
            task,
            _folder: folder,
        }
    }

    /// Waits until so many requests for `/slow` are there.
    async fn wait_for_waiting(&self, number: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.waiting.load(Ordering::SeqCst) != number {
            let waiting = self.waiting.load(Ordering::SeqCst);
            assert!(Instant::now() < deadline, "{waiting} wait");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_what_is_in_flight_over_tls() {
    for protocol in ["h2", "http/1.1"] {
        let server = Server::start(Limits::default(), Some(protocol)).await;
        let idle = server.client.connect(server.address).await.unwrap();
        let mut connection = server.client.connect(server.address).await.unwrap();
        let asked = tokio::spawn(async move { connection.get("/slow", &[]).await });
        server.wait_for_waiting(1).await;
        server.stop.send(()).unwrap();
        // It no longer listens, and goes on with what it has.
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(server.address).await.is_ok() {
            assert!(Instant::now() < deadline, "it still listens");
        }
        assert!(!asked.is_finished());
        server.permits.add_permits(1);
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, "slow"),
            "{protocol}"
        );
        timeout(DEADLINE, server.task)
            .await
            .expect("it ends")
            .unwrap();
        drop(idle);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_cuts_off_handshakes_and_requests_that_do_not_end() {
    let limits = Limits {
        drain: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits, Some("h2")).await;
    let _stalled = TcpStream::connect(server.address).await.unwrap();
    let mut connection = server.client.connect(server.address).await.unwrap();
    let asked = tokio::spawn(async move { connection.get("/slow", &[]).await });
    server.wait_for_waiting(1).await;
    server.stop.send(()).unwrap();
    timeout(DEADLINE, server.task)
        .await
        .expect("it ends")
        .unwrap();
    asked.await.unwrap().unwrap_err();
    let left = server.waiting.load(Ordering::SeqCst);
    assert_eq!(left, 0, "a request outlives the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_answered_ends_with_its_time() {
    let limits = Limits {
        response_timeout: SHORT,
        idle_timeout: SHORT,
        ..Limits::default()
    };
    for protocol in [Some("h2"), Some("http/1.1"), None] {
        let server = Server::start(limits, protocol).await;
        if protocol.is_some() {
            server
                .client
                .get(server.address, "/slow", &[])
                .await
                .unwrap_err();
        } else {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream
                .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            timeout(DEADLINE, stream.read_to_end(&mut answer))
                .await
                .unwrap()
                .unwrap();
            assert!(answer.is_empty());
        }
        server.wait_for_waiting(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_cut_off_over_http2_too() {
    use tokio::io::split;
    let limits = Limits {
        response_timeout: SHORT,
        idle_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits, Some("h2")).await;
    let stream = server.client.shake_hands(server.address).await.unwrap();
    let (mut read, mut write) = split(stream);
    // The window of 64 KiB is never opened further, so that the socket itself is always ready.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut fields = vec![0x82, 0x87, 0x04, 0x06];
    fields.extend_from_slice(b"/large");
    fields.extend_from_slice(&[0x41, 0x01, b'x']);
    sent.extend_from_slice(&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    sent.extend_from_slice(&fields);
    write.write_all(&sent).await.unwrap();
    write.flush().await.unwrap();
    let mut received = Vec::new();
    // Without a farewell of TLS, the end is an error.
    let _ = timeout(DEADLINE, read.read_to_end(&mut received))
        .await
        .expect("it ends");
    assert!(
        received.len() > 60_000 && received.len() < 200_000,
        "{}",
        received.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_is_closed() {
    let limits = Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits, Some("h2")).await;
    let mut connection = server.client.connect(server.address).await.unwrap();
    assert_eq!(connection.get("/", &[]).await.unwrap().body, "fast");
    let deadline = Instant::now() + DEADLINE;
    while connection.is_usable().await {
        assert!(Instant::now() < deadline, "it stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One on which nothing was ever said.
    let mut stream = server.client.shake_hands(server.address).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest))
        .await
        .expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshakes_end_with_their_time() {
    let limits = Limits {
        handshake_timeout: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits, Some("h2")).await;
    for begun in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        // Bytes that nobody read reset the connection.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut rest))
            .await
            .expect("it ends");
        assert!(rest.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_when_all_are_taken() {
    let limits = Limits {
        connections: 4,
        grace: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits, None).await;
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    server.wait_for_waiting(1).await;
    for _ in 0..12 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut other = TcpStream::connect(server.address).await.unwrap();
    other
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, other.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.ends_with("fast"), "{answer}");
    // The one with a request was spared.
    server.permits.add_permits(1);
    answer.clear();
    timeout(DEADLINE, busy.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_past_the_limit_are_told_to_come_again() {
    let server = Server::start_with(Limits::default(), Some("h2"), "/slow", 2).await;
    let mut scrapes = Vec::new();
    for _ in 0..2 {
        let (client, address) = (server.client.clone(), server.address);
        scrapes.push(tokio::spawn(async move {
            client.get(address, "/slow", &[]).await
        }));
    }
    server.wait_for_waiting(2).await;
    let refused = server
        .client
        .get(server.address, "/slow", &[])
        .await
        .unwrap();
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("2 scrapes are under way"),
        "{}",
        refused.body
    );
    let other = server
        .client
        .get(server.address, "/other", &[])
        .await
        .unwrap();
    assert_eq!(other.status, 200);
    server.permits.add_permits(3);
    for scrape in scrapes {
        assert_eq!(scrape.await.unwrap().unwrap().status, 200);
    }
    let answer = server
        .client
        .get(server.address, "/slow", &[])
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
}

/// A scrape of which the client takes the head and no more.
async fn stalling_scrape(server: &Server) -> (Connection, Response<Incoming>) {
    let connecting = server.client.connect_slowly(server.address);
    let mut connection = connecting.await.unwrap();
    let begun = timeout(DEADLINE, connection.begin("/scrape", &[])).await;
    (connection, begun.unwrap().unwrap())
}

/// Scrapes until there is room.
async fn scrape_in_the_end(server: &Server) -> Answer {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let scrape = server.client.get(server.address, "/scrape", &[]);
        let answer = scrape.await.unwrap();
        if answer.status != 503 {
            return answer;
        }
        assert!(Instant::now() < deadline, "there is no room");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_that_nobody_reads_give_way_to_others() {
    let never = Duration::from_hours(1);
    let stalled = Limits {
        scrape_stall: SHORT,
        scrape_time: never,
        ..Limits::default()
    };
    let too_long = Limits {
        scrape_stall: never,
        scrape_time: SHORT,
        ..Limits::default()
    };
    for (limits, protocol) in [(stalled, "http/1.1"), (stalled, "h2"), (too_long, "h2")] {
        let server = Server::start_with(limits, Some(protocol), "/scrape", 40).await;
        let mut slow = Vec::new();
        for _ in 0..40 {
            let scrape = stalling_scrape(&server).await;
            assert_eq!(scrape.1.status(), 200);
            slow.push(scrape);
        }
        for _ in 0..5 {
            let answer = scrape_in_the_end(&server).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body.len() as u64, server.scrape.len().unwrap());
        }
        // They came in turn and left their place again, so that hardly anybody had to go.
        let (_connection, last) = slow.pop().unwrap();
        let answer = Answer::read(last).await.unwrap();
        assert!(answer.body.ends_with("# EOF\n"), "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_within_their_time_keep_their_place() {
    let limits = Limits {
        scrape_stall: DEADLINE,
        scrape_time: DEADLINE,
        ..Limits::default()
    };
    let server = Server::start_with(limits, Some("http/1.1"), "/scrape", 2).await;
    let slow = (
        stalling_scrape(&server).await,
        stalling_scrape(&server).await,
    );
    assert_eq!(stalling_scrape(&server).await.1.status(), 503);
    drop(slow);
    assert_eq!(scrape_in_the_end(&server).await.status, 200);
}

/// Sends a request with a login from the address `from`, and gives the status of the answer. Its connection may be cut.
async fn log_in(server: SocketAddr, from: &str, user: &str, password: &str) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    let mut stream = socket.connect(server).await?;
    let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // The end of a connection that goes on would be long to wait for.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    if head.contains(" 503 ") {
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
    }
    if user == "mallory" {
        // Keeps the connection for as long as it may.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    Ok(head[9..12].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_passwords_locks_nobody_out() {
    let limits = Limits {
        connections: 12,
        grace: SHORT,
        ..Limits::default()
    };
    let hash = |password: &str| bcrypt::hash(password, 6).unwrap();
    let (alice, bob) = (hash("wonderland"), hash("builder"));
    let config = format!("basic_auth_users:\n  alice: {alice}\n  bob: {bob}\n");
    let server = Server::start_configured(limits, None, "/slow", 0, &config).await;
    let address = server.address;
    let ask = move |from: &'static str, user: &'static str, password: &'static str| async move {
        let asked = timeout(DEADLINE, log_in(address, from, user, password));
        asked.await.expect("it is answered or cut")
    };
    assert_eq!(
        ask("127.0.0.1", "alice", "wonderland").await.unwrap(),
        "200"
    );

    let over = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut flood = tokio::task::JoinSet::new();
    for attacker in 0..60 {
        let (over, refused) = (Arc::clone(&over), Arc::clone(&refused));
        flood.spawn(async move {
            for number in 0.. {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let guess = format!("guess {attacker} {number}");
                if let Ok(status) = log_in(address, "127.0.0.1", "mallory", &guess).await {
                    assert_ne!(status, "200");
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    let deadline = Instant::now() + DEADLINE;
    while refused.load(Ordering::SeqCst) < 30 {
        assert!(Instant::now() < deadline, "there is no flood");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // With the login that is remembered, from the very address of the flood.
    for _ in 0..8 {
        let asked = Instant::now();
        assert_eq!(
            ask("127.0.0.1", "alice", "wonderland").await.unwrap(),
            "200"
        );
        let took = asked.elapsed();
        assert!(took < DEADLINE / 3, "{took:?}");
    }
    let deadline = Instant::now() + DEADLINE;
    loop {
        // Its connection may have been cut before the password was hashed.
        match ask("127.0.0.2", "bob", "builder").await {
            Ok(status) if status == "200" => break,
            Ok(status) => assert_eq!(status, "503"),
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "the first login never gets in");
    }
    over.store(true, Ordering::SeqCst);
    flood.shutdown().await;
}
