//! Clients that are slow, broken or hostile, against the running daemon: it goes on answering others, and when they
//! are gone, nothing of them is left.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]
#![expect(
    clippy::print_stdout,
    reason = "figures for whoever runs it with --nocapture"
)]

mod exporter;
mod web_support;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use exporter::slow::{long_report, scrape_in_flight, slow_client, with_report};
use exporter::{Exporter, PATIENCE, ask, command, get, read_answer};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use web_support::client::Client;
use web_support::pki::{Ca, loopback, replace};

fn demo() -> Command {
    let mut command = command();
    command.arg("--source=demo");
    command
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the connection ends, in whatever way.
fn rest(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// What the kernel knows of the daemon.
#[cfg(target_os = "linux")]
struct Held {
    files: usize,
    threads: usize,
    resident: u64,
    /// CPU time since its start.
    cpu: Duration,
}

#[cfg(target_os = "linux")]
impl Held {
    fn by(exporter: &Exporter) -> Self {
        let process = procfs::process::Process::new(i32::try_from(exporter.id()).unwrap()).unwrap();
        let stat = process.stat().unwrap();
        let ticks = stat.utime + stat.stime;
        Self {
            files: process.fd_count().unwrap(),
            threads: usize::try_from(stat.num_threads).unwrap(),
            resident: stat.rss * procfs::page_size(),
            cpu: Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()),
        }
    }
}

/// Goes on asking for metrics until told to stop.
struct Scraper {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<(usize, Duration)>,
}

impl Scraper {
    fn of(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut scrapes, mut slowest) = (0, Duration::ZERO);
            while !until.load(Ordering::Relaxed) {
                let started = Instant::now();
                let answer = get(address, "/metrics");
                assert_eq!(answer.status, 200);
                assert!(answer.body.contains("aws_iam_access_key_age_days"));
                slowest = slowest.max(started.elapsed());
                scrapes += 1;
            }
            (scrapes, slowest)
        });
        Self { over, thread }
    }

    /// How often it was answered, and how long it took at most.
    fn stop(self) -> (usize, Duration) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("every scrape is answered")
    }
}

/// Every fault at once, and then what is left of it.
#[cfg(target_os = "linux")]
#[test]
fn under_siege_others_are_answered_and_nothing_is_left_behind() {
    let exporter = Exporter::start(&mut demo());
    let address = exporter.addresses[0];
    exporter.poll("/metrics", |answer| {
        answer.body.contains("aws_iam_access_key_age_days")
    });
    for _ in 0..20 {
        exporter.get("/metrics");
    }
    let before = Held::by(&exporter);
    let scraper = Scraper::of(address);

    // More idle connections than may be open.
    let mut idle: Vec<_> = (0..1500)
        .filter_map(|_| TcpStream::connect(address).ok())
        .collect();
    // Heads that never end.
    for stream in idle.iter_mut().take(300) {
        // Those that were cut off already take nothing.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    }
    for _ in 0..30 {
        // A body that never comes.
        let mut stream = connect(address);
        stream
            .write_all(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
            .unwrap();
        assert!(rest(&mut stream).starts_with("HTTP/1.1 405 "));
        // Nonsense, and a handshake to a port without TLS.
        for nonsense in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            &[0; 4096],
            b"\n\n\n\n",
        ] {
            let mut stream = connect(address);
            // It may be refused before all of it is sent.
            let _ = stream.write_all(nonsense);
            let _ = stream.shutdown(Shutdown::Write);
            let answer = rest(&mut stream);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
                "{answer}"
            );
        }
        // A head of a megabyte.
        let mut stream = connect(address);
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ");
        let _ = stream.write_all(&vec![b'x'; 1 << 20]);
        let answer = rest(&mut stream);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
    }
    // Many requests and no interest in the answers.
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(address);
            for _ in 0..50 {
                stream
                    .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
            }
            stream
        })
        .collect();
    // Gone in mid-answer.
    for _ in 0..100 {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
    }
    let (answered, slowest) = scraper.stop();
    let during = Held::by(&exporter);
    println!(
        "{answered} scrapes, the slowest in {slowest:?}; {} files and {} MB at the end",
        during.files,
        during.resident >> 20
    );
    assert!(answered > 0);
    assert!(
        slowest < Duration::from_secs(10),
        "a scrape took {slowest:?}"
    );

    drop((idle, deaf));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let after = Held::by(&exporter);
        if after.files <= before.files {
            println!("{} threads, {} MB", after.threads, after.resident >> 20);
            assert!(
                after.threads <= before.threads + 64,
                "{} threads",
                after.threads
            );
            let grown = after.resident.saturating_sub(before.resident);
            assert!(grown < 64 << 20, "{} MB more than before", grown >> 20);
            break;
        }
        assert!(Instant::now() < deadline, "{} files stay open", after.files);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(exporter.get("/metrics").status, 200);
    let log = exporter.stop();
    assert!(!log.iter().any(|line| line.contains("panic")), "{log:#?}");
}

/// More slow readers than scrapes may be under way, without a login and with the limits as they are.
#[test]
fn slow_readers_keep_nobody_out() {
    let report = long_report();
    let exporter = with_report(&report, &[]);
    let address = exporter.addresses[0];
    let started = Instant::now();
    let mut slow: Vec<_> = (0..40).map(|_| scrape_in_flight(address)).collect();
    println!("all places were taken in {:?}", started.elapsed());
    let started = Instant::now();
    let answer = exporter.poll("/metrics", |answer| answer.status != 503);
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("aws_iam_access_key_age_days"));
    let answered = started.elapsed();
    println!("another was answered in {answered:?}");
    assert!(answered < Duration::from_secs(10), "{answered:?}");
    // They come back again and again, each in the place of one of their own, and others are answered still.
    for _ in 0..3 {
        let started = Instant::now();
        slow.extend((0..10).map(|_| scrape_in_flight(address)));
        assert_eq!(
            exporter
                .poll("/metrics", |answer| answer.status != 503)
                .status,
            200
        );
        let answered = started.elapsed();
        assert!(answered < Duration::from_secs(10), "{answered:?}");
    }
    exporter.stop();
}

/// Each of these is a request that some proxies and servers see differently. Whatever is answered, the second request
/// in it is never taken for one.
#[test]
fn no_request_is_smuggled() {
    let exporter = Exporter::start(&mut demo());
    let address = exporter.addresses[0];
    let inner = "GET /-/healthy HTTP/1.1\r\nHost: inner\r\n\r\n";
    let table = [
        (
            "both lengths",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "two lengths",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n{inner}"
            ),
        ),
        (
            "length list",
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 44\r\n\r\n{inner}"),
        ),
        (
            "signed length",
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +44\r\n\r\n{inner}"),
        ),
        (
            "hexadecimal length",
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2c\r\n\r\n{inner}"),
        ),
        (
            "huge length",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551660\r\n\r\n{inner}"
            ),
        ),
        (
            "space before the colon",
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 44\r\n\r\n{inner}"),
        ),
        (
            "folded header",
            format!("POST / HTTP/1.1\r\nHost: x\r\nX: y\r\n Content-Length: 44\r\n\r\n{inner}"),
        ),
        (
            "odd coding",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "coding not last",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunk size with sign",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunk size too large",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n{inner}"
            ),
        ),
        (
            "chunk ended by line feed",
            format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n{inner}"),
        ),
        (
            "chunk extension",
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n{inner}"
            ),
        ),
        (
            "coding in HTTP/1.0",
            format!(
                "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "length of what is no body",
            format!("GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n\r\n{inner}"),
        ),
    ];
    for (name, request) in table {
        let mut stream = connect(address);
        // It may be refused before all of it is sent.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let answers = rest(&mut stream);
        assert!(answers.matches("HTTP/1.").count() <= 1, "{name}: {answers}");
    }
    assert_eq!(exporter.get("/metrics").status, 200);
}

#[test]
fn heads_that_mean_two_things_are_refused() {
    let exporter = Exporter::start(&mut demo());
    let address = exporter.addresses[0];
    let table = [
        ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", "400"),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
            "400",
        ),
        ("GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /metrics HTTP/1.1 x\r\nHost: a\r\n\r\n", "400"),
        ("GET /metrics\r\n\r\n", "400"),
        ("GET /met rics HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("G\u{e9}T /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /metrics HTTP/3.0\r\nHost: a\r\n\r\n", "400"),
        (
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nConnection: close\r\n\r\n",
            "404",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "404",
        ),
        (
            "TRACE /metrics HTTP/1.1\r\nHost: a\r\nX: secret\r\nConnection: close\r\n\r\n",
            "405",
        ),
        (
            "GET http://elsewhere.example/metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "200",
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
            "200",
        ),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        (
            "GET /-/healthy HTTP/1.1\r\nHost: [::1]:10114\r\nConnection: close\r\n\r\n",
            "200",
        ),
    ];
    for (request, status) in table {
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).unwrap();
        let answer = rest_of_first(&mut stream, request);
        assert!(
            answer.split(' ').nth(1) == Some(status),
            "{request:?} gives {answer}"
        );
        assert!(
            !answer.contains("secret") && !answer.contains("elsewhere"),
            "{answer}"
        );
    }
}

/// The answer, from a connection that may stay open after it.
fn rest_of_first(stream: &mut TcpStream, request: &str) -> String {
    if request.contains("Connection: close") || request.contains("HTTP/1.0") {
        return rest(stream);
    }
    let _ = stream.shutdown(Shutdown::Write);
    rest(stream)
}

#[test]
fn pipelined_requests_are_answered_in_turn() {
    let exporter = Exporter::start(&mut demo());
    let mut stream = connect(exporter.addresses[0]);
    let mut requests = Vec::new();
    for path in ["/-/healthy", "/nowhere", "/-/healthy"] {
        write!(requests, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    requests.extend_from_slice(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(&requests).unwrap();
    let answers = rest(&mut stream);
    let statuses: Vec<_> = answers
        .lines()
        .filter_map(|line| line.split_once("HTTP/1.1 "))
        .map(|(_, status)| &status[..3])
        .collect();
    assert_eq!(statuses, ["200", "404", "200", "200"]);
}

/// Leaves the daemon room for so many more descriptors, as if others had used up the rest.
#[cfg(target_os = "linux")]
fn leave_descriptors(exporter: &Exporter, spare: usize) {
    let most = Some((Held::by(exporter).files + spare) as u64);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    let id = Pid::from_raw(i32::try_from(exporter.id()).unwrap());
    prlimit(id, Resource::Nofile, limit).unwrap();
}

/// Scrapes that nobody reads hold the last descriptors, and none of them may be taken away.
#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_it_waits_without_spinning() {
    let report = long_report();
    let mut exporter = with_report(&report, &[]);
    let address = exporter.addresses[0];
    assert_eq!(exporter.get("/metrics").status, 200);
    leave_descriptors(&exporter, 4);
    // Whatever gets free meanwhile, the next in the queue has it.
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = slow_client(address);
            ask(&mut stream, "/metrics");
            stream
        })
        .collect();
    let mut newcomer = connect(address);
    ask(&mut newcomer, "/-/healthy");
    let line = exporter.wait_for_line("connections cannot be accepted");
    assert!(line.contains("Too many open files"), "{line}");

    // For how long it does nothing is what is measured.
    let (before, window) = (Held::by(&exporter).cpu, Duration::from_secs(3));
    thread::sleep(window);
    let spent = Held::by(&exporter).cpu.saturating_sub(before);
    println!("{spent:?} of CPU time in {window:?} without descriptors");
    assert!(spent < window / 6, "{spent:?} of CPU time in {window:?}");
    newcomer.set_nonblocking(true).unwrap();
    let early = newcomer.peek(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock, "it was accepted");
    newcomer.set_nonblocking(false).unwrap();

    drop(slow);
    let freed = Instant::now();
    assert_eq!(read_answer(&mut newcomer).status, 200);
    assert_eq!(exporter.get("/metrics").status, 200);
    println!("answers again {:?} after that", freed.elapsed());
    // The longest pause is a second.
    assert!(freed.elapsed() < Duration::from_secs(5));
    let log = exporter.stop();
    let told = |line: &&String| line.contains("cannot be accepted");
    assert_eq!(log.iter().filter(told).count(), 1, "{log:#?}");
}

/// Idle connections hold the last descriptors, and more of them wait.
#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_idle_connections_give_way() {
    let mut exporter = Exporter::start(&mut demo());
    let address = exporter.addresses[0];
    assert_eq!(exporter.get("/metrics").status, 200);
    let before = Held::by(&exporter);
    leave_descriptors(&exporter, 16);
    let idle: Vec<_> = (0..64).map(|_| connect(address)).collect();
    let started = Instant::now();
    exporter.wait_for_line("connections cannot be accepted");
    assert_eq!(exporter.get("/metrics").status, 200);
    println!("answered after {:?}", started.elapsed());
    // 16 go at a time, each time after a second and a pause of a second at most.
    assert!(started.elapsed() < Duration::from_secs(15));
    drop(idle);
    let deadline = Instant::now() + PATIENCE;
    while Held::by(&exporter).files > before.files {
        assert!(Instant::now() < deadline, "files stay open");
        thread::sleep(Duration::from_millis(50));
    }
    exporter.stop();
}

/// So few descriptors that there is hardly room for a connection, from the start.
#[cfg(target_os = "linux")]
#[test]
fn it_starts_with_few_descriptors() {
    let daemon = demo();
    let mut shell = Command::new("sh");
    let environment = daemon.get_envs();
    shell
        .env_clear()
        .envs(environment.filter_map(|(name, value)| Some((name, value?))))
        .args(["-c", "ulimit -n 24; exec \"$0\" \"$@\""])
        .arg(daemon.get_program())
        .args(daemon.get_args());
    let exporter = Exporter::start(&mut shell);
    let address = exporter.addresses[0];
    let idle: Vec<_> = (0..40).map(|_| connect(address)).collect();
    assert_eq!(exporter.get("/metrics").status, 200);
    drop(idle);
    exporter.stop();
}

/// With TLS: handshakes that stall or break, renegotiations of nothing, and clients that talk plain HTTP.
#[cfg(target_os = "linux")]
#[test]
fn broken_handshakes_keep_nobody_out_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("servers");
    ca.issue(&loopback()).write(folder.path(), "");
    let file = folder.path().join("web.yml");
    replace(
        &file,
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n",
    );
    let exporter = Exporter::start(demo().arg("--web.config.file").arg(&file));
    let address = exporter.addresses[0];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(&ca, None, &["h2"]);
    let scrape = || {
        let answer = runtime
            .block_on(client.get(address, "/metrics", &[]))
            .unwrap();
        assert_eq!(answer.status, 200);
    };
    for _ in 0..20 {
        scrape();
    }
    let before = Held::by(&exporter);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut stream = connect(address);
        match number % 5 {
            // Nothing at all.
            0 => {}
            // The beginning of a handshake.
            1 => stream.write_all(hello).unwrap(),
            // Plain HTTP.
            2 => {
                stream
                    .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                let answer = rest(&mut stream);
                assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
                assert!(answer.contains("HTTPS"), "{answer}");
            }
            // HTTP/2 without TLS, and nonsense.
            3 => {
                let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                rest(&mut stream);
            }
            _ => {
                let _ = stream.write_all(&[0x80; 64]);
                rest(&mut stream);
            }
        }
        stalled.push(stream);
        if number % 50 == 0 {
            scrape();
        }
    }
    scrape();
    // The stalled ones are closed by the time-out of the handshake, though nobody closes them here.
    let deadline = Instant::now() + PATIENCE;
    while Held::by(&exporter).files > before.files + 4 {
        assert!(Instant::now() < deadline, "handshakes stay open");
        thread::sleep(Duration::from_millis(50));
    }
    drop(stalled);
    scrape();
    exporter.stop();
}

/// HTTP/2's own faults: a connection without a preface, one that is idle, and resets without end (CVE-2023-44487).
#[cfg(target_os = "linux")]
#[test]
fn rapid_resets_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("servers");
    ca.issue(&loopback()).write(folder.path(), "");
    let file = folder.path().join("web.yml");
    replace(
        &file,
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n",
    );
    let exporter = Exporter::start(demo().arg("--web.config.file").arg(&file));
    let address = exporter.addresses[0];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(&ca, None, &["h2"]);
    let sent = AtomicUsize::new(0);
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = client.shake_hands(address).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        // The preface, empty settings, and then requests that are taken back at once.
        let attack = async {
            write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
            write.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
            // GET, https, /metrics and an authority, by HPACK's static table.
            let mut fields = vec![0x82, 0x87, 0x04, 0x08];
            fields.extend_from_slice(b"/metrics");
            fields.extend_from_slice(&[0x41, 0x01, b'x']);
            for stream in (1_u32..).step_by(2) {
                let mut frames = vec![0, 0, u8::try_from(fields.len()).unwrap(), 1, 5];
                frames.extend_from_slice(&stream.to_be_bytes());
                frames.extend_from_slice(&fields);
                frames.extend_from_slice(&[0, 0, 4, 3, 0]);
                frames.extend_from_slice(&stream.to_be_bytes());
                frames.extend_from_slice(&8_u32.to_be_bytes());
                write.write_all(&frames).await?;
                write.flush().await?;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            io::Result::Ok(())
        };
        let listen = async {
            let mut sink = [0; 4096];
            while read.read(&mut sink).await? > 0 {}
            io::Result::Ok(())
        };
        let ended = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                ended = attack => ended,
                ended = listen => ended,
            }
        });
        // How it ends doesn't matter, but it does.
        let _ = ended.await.expect("the connection ends");
    });
    println!("{} requests were reset", sent.load(Ordering::Relaxed));
    let answer = runtime
        .block_on(client.get(address, "/metrics", &[]))
        .unwrap();
    assert_eq!(answer.status, 200);
    let log = exporter.stop();
    assert!(!log.iter().any(|line| line.contains("panic")), "{log:#?}");
}

/// What clients send never gets into a log line by which another line could be faked.
#[test]
fn logs_show_nothing_that_clients_make_up() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let file = folder.path().join("web.yml");
    fs::write(&file, format!("basic_auth_users:\n  alice: {hash}\n")).unwrap();
    let exporter = Exporter::start(
        demo()
            .args(["--log.level=debug", "--web.config.file"])
            .arg(&file),
    );
    for request in [
        "GET /level=error%0Alevel=error HTTP/1.1\r\nHost: forged\r\n\r\n",
        "FORGED /metrics HTTP/1.1\r\nHost: forged\r\nUser-Agent: forged\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Zm9yZ2VkOmZvcmdlZA==\r\n\r\n",
        "GET /\x1b[2Jforged HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect(exporter.addresses[0]);
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        rest(&mut stream);
    }
    let log = exporter.stop();
    assert!(!log.iter().any(|line| line.contains("forged")), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains('\x1b')), "{log:#?}");
}
