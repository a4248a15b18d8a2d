//! TLS, logins and headers from the web configuration file, while they change under the running daemon.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers too")]
#![expect(
    clippy::print_stdout,
    reason = "figures for whoever runs it with --nocapture"
)]

mod exporter;
mod web_support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use base64::Engine as _;
use exporter::{Exporter, PATIENCE, ask, command, get, read_answer};
use rcgen::SanType;
use tokio::time::sleep;
use web_support::client::{Client, DEADLINE};
use web_support::pki::{Ca, loopback, replace};

/// The daemon over demo data.
fn demo() -> Command {
    let mut command = command();
    command.arg("--source=demo");
    command
}

/// A folder with a web configuration, certificates for the daemon, and the CAs.
struct Setup {
    folder: tempfile::TempDir,
    ca: Ca,
    clients: Ca,
}

const TLS: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";

impl Setup {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
        ca.issue(&loopback()).write(folder.path(), "");
        replace(&folder.path().join("ca.pem"), &clients.pem);
        let setup = Self {
            folder,
            ca,
            clients,
        };
        setup.configure(config);
        setup
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    fn configure(&self, config: &str) {
        replace(&self.file(), config);
    }

    fn start(&self) -> Exporter {
        Exporter::start(demo().arg("--web.config.file").arg(self.file()))
    }

    fn client(&self, protocols: &[&str]) -> Client {
        Client::new(&self.ca, None, protocols)
    }
}

fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
}

fn basic(user: &str, password: &str) -> String {
    let credentials = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {credentials}")
}

/// Asks until it is answered with the status.
async fn until(client: &Client, address: SocketAddr, headers: &[(&str, &str)], status: u16) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = client.get(address, "/metrics", headers).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == status) {
            return;
        }
        assert!(Instant::now() < deadline, "it stays {answer:?}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_either_http() {
    let setup = Setup::new(TLS);
    let exporter = setup.start();
    let address = exporter.addresses[0];
    for protocols in [&["h2"][..], &["http/1.1"], &["h2", "http/1.1"], &[]] {
        let client = setup.client(protocols);
        let answer = client.get(address, "/metrics", &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{protocols:?}");
        assert!(answer.body.contains("aws_iam_access_key_age_days"));
    }
    let stream = setup
        .client(&["h2", "http/1.1"])
        .shake_hands(address)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let log = exporter.stop();
    assert!(log.iter().any(|line| line.contains("tls=true")), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_and_old_versions_can_be_turned_off() {
    let config = format!("{TLS}  min_version: TLS13\nhttp_server_config:\n  http2: false\n");
    let setup = Setup::new(&config);
    let exporter = setup.start();
    let address = exporter.addresses[0];
    let stream = setup
        .client(&["h2", "http/1.1"])
        .shake_hands(address)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let old = Client::of_versions(&setup.ca, None, &[], &[&rustls::version::TLS12]);
    let error = old.shake_hands(address).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_of_client_authentication_lets_in_whom_it_should() {
    // Without a certificate, with one of the CA, with one of another CA, with one of the CA for another name.
    let ca = "  client_ca_file: ca.pem\n";
    let verified = format!("{ca}  client_allowed_sans: [prometheus.example.org, 10.0.0.1]\n");
    let table = [
        ("NoClientCert", "", [true, true, true, true]),
        ("RequestClientCert", "", [true, true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false, true]),
        ("RequireAndVerifyClientCert", ca, [false, true, false, true]),
        (
            "RequireAndVerifyClientCert",
            &verified,
            [false, true, false, false],
        ),
    ];
    let setup = Setup::new(TLS);
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let known = setup.clients.issue(&[dns("prometheus.example.org")]);
    let stranger = Ca::new("strangers").issue(&[SanType::IpAddress("10.0.0.1".parse().unwrap())]);
    let other = setup.clients.issue(&[dns("other.example.org")]);
    for (auth, more, expected) in table {
        setup.configure(&format!("{TLS}  client_auth_type: {auth}\n{more}"));
        let exporter = setup.start();
        let address = exporter.addresses[0];
        let identities = [None, Some(&known), Some(&stranger), Some(&other)];
        for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
            for (identity, expected) in identities.iter().zip(expected) {
                let client = Client::of_versions(&setup.ca, *identity, &["h2"], versions);
                let answer = client.get(address, "/metrics", &[]).await;
                let is_in = answer.as_ref().is_ok_and(|answer| answer.status == 200);
                assert_eq!(is_in, expected, "{auth} {more} {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_swapped_under_load_without_a_failed_request() {
    let setup = Setup::new(TLS);
    let exporter = setup.start();
    let address = exporter.addresses[0];
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for number in 0..6 {
        let protocol = ["h2", "http/1.1"][number % 2];
        let client = setup.client(&[protocol]);
        let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
        load.spawn(async move {
            let mut connections = 0;
            while !over.load(Ordering::Relaxed) {
                let mut connection = client.connect(address).await.expect("a handshake succeeds");
                connections += 1;
                while connection.is_usable().await && !over.load(Ordering::Relaxed) {
                    match connection.get("/-/healthy", &[]).await {
                        Ok(answer) => assert_eq!(answer.status, 200),
                        // It was never sent, for the server had said goodbye.
                        Err(error) if is_unsent(&*error) => break,
                        Err(error) => panic!("a request over {protocol} failed: {error:?}"),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            connections
        });
    }
    for _ in 0..3 {
        let identity = setup.ca.issue(&loopback());
        identity.write(setup.folder.path(), "");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let stream = setup.client(&[]).shake_hands(address).await.unwrap();
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            if pem_of(&shown) == strip(&identity.cert) {
                break;
            }
            assert!(Instant::now() < deadline, "the certificate stays");
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        let connections = ended.unwrap();
        assert!(
            connections >= 3,
            "{connections} connections in all that time"
        );
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 100, "{answered}");
    println!("{answered} requests were answered");
}

fn is_unsent(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_canceled)
}

fn pem_of(der: &[u8]) -> String {
    base64::prelude::BASE64_STANDARD.encode(der)
}

fn strip(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_swapped_certificate_is_refused_until_it_is_whole() {
    let setup = Setup::new(TLS);
    let mut exporter = setup.start();
    let address = exporter.addresses[0];
    let client = setup.client(&["h2"]);
    let next = setup.ca.issue(&loopback());
    replace(&setup.folder.path().join("cert.pem"), &next.cert);
    until(&client, address, &[], 500).await;
    let line = exporter.wait_for_line("the web configuration is broken");
    assert!(
        line.contains("key_file") && line.contains("does not belong"),
        "{line}"
    );
    replace(&setup.folder.path().join("key.pem"), &next.key);
    until(&client, address, &[], 200).await;
    exporter.wait_for_line("in order again");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_headers_change_while_it_runs() {
    let header = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    let users = format!("basic_auth_users:\n{}", user("alice", "s3cret"));
    let setup = Setup::new(&format!("{TLS}{header}{users}"));
    let exporter = setup.start();
    let address = exporter.addresses[0];
    let client = setup.client(&["h2"]);
    let alice = basic("alice", "s3cret");
    let alice = [("authorization", alice.as_str())];
    let bob = basic("bob", "s3cret-too");
    let bob = [("authorization", bob.as_str())];

    let answer = client.get(address, "/metrics", &alice).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-frame-options"], "deny");
    for (path, headers) in [
        ("/metrics", &bob[..]),
        ("/metrics", &[]),
        ("/-/healthy", &[]),
    ] {
        let answer = client.get(address, path, headers).await.unwrap();
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.headers["x-frame-options"], "deny");
        let asks = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(asks.starts_with("Basic realm="), "{asks}");
        assert!(!answer.body.contains("aws_iam"));
    }

    let header = header.replace("deny", "sameorigin");
    let users = format!("basic_auth_users:\n{}", user("bob", "s3cret-too"));
    setup.configure(&format!("{TLS}{header}{users}"));
    until(&client, address, &bob, 200).await;
    let answer = client.get(address, "/metrics", &alice).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["x-frame-options"], "sameorigin");

    setup.configure(TLS);
    until(&client, address, &[], 200).await;
    let log = exporter.stop();
    assert!(
        !log.iter()
            .any(|line| line.contains("s3cret") || line.contains("$2")),
        "{log:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_refuses_requests_is_logged_once_and_recovers() {
    let setup = Setup::new("");
    let mut exporter = setup.start();
    assert_eq!(exporter.get("/metrics").status, 200);
    setup.configure("basic_auth_users:\n  alice: s3cret\n");
    exporter.poll("/metrics", |answer| answer.status == 500);
    // Several looks later it still is, and nothing new has been said.
    let until = Instant::now() + std::time::Duration::from_secs(3);
    while Instant::now() < until {
        let answer = exporter.get("/metrics");
        assert_eq!(answer.status, 500);
        assert!(!answer.body.contains("aws_iam") && !answer.body.contains("s3cret"));
    }
    fs::remove_file(setup.file()).unwrap();
    exporter.wait_for_line("is broken");
    exporter.poll("/metrics", |answer| answer.status == 500);
    setup.configure("");
    exporter.poll("/metrics", |answer| answer.status == 200);
    // The same size, right after.
    setup.configure("x");
    exporter.poll("/metrics", |answer| answer.status == 500);
    setup.configure("#");
    exporter.poll("/metrics", |answer| answer.status == 200);
    // TLS can't come while it runs.
    setup.configure(TLS);
    exporter.poll("/metrics", |answer| answer.status == 500);
    setup.configure("");
    exporter.poll("/metrics", |answer| answer.status == 200);
    let log = exporter.stop();
    let broken: Vec<_> = log
        .iter()
        .filter(|line| line.contains("is broken"))
        .collect();
    let of_hash = broken
        .iter()
        .filter(|line| line.contains("not a bcrypt hash"));
    assert_eq!(of_hash.count(), 1, "{broken:#?}");
    assert!(
        broken.iter().any(|line| line.contains("TLS is new")),
        "{broken:#?}"
    );
    assert!(!log.iter().any(|line| line.contains("s3cret")), "{log:#?}");
}

#[test]
fn health_checks_are_open_on_a_port_of_their_own() {
    let setup = Setup::new(&format!(
        "{TLS}basic_auth_users:\n{}",
        user("alice", "s3cret")
    ));
    let mut command = demo();
    command
        .arg("--web.config.file")
        .arg(setup.file())
        .arg("--web.probe-listen-address=127.0.0.1:0");
    let mut exporter = Exporter::start(&mut command);
    let line = exporter.wait_for_line("listening for health checks");
    let address: SocketAddr = exporter::fields(&line)["address"].parse().unwrap();
    for path in ["/-/healthy", "/healthz", "/livez", "/-/ready", "/readyz"] {
        let deadline = Instant::now() + PATIENCE;
        while get(address, path).status != 200 {
            assert!(Instant::now() < deadline, "{path} is not open");
        }
    }
    for path in [
        "/metrics",
        "/",
        "/api/v1/keys",
        "/api/v1/status",
        "/-/reload",
    ] {
        let answer = get(address, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("AKIA"), "{path}");
    }
}

#[test]
fn requests_are_limited_before_anything_else() {
    let config = format!(
        "rate_limit:\n  interval: 1h\n  burst: 3\nhttp_server_config:\n  headers:\n    \
         X-Frame-Options: deny\nbasic_auth_users:\n{}",
        user("alice", "s3cret")
    );
    let exporter = Setup::new(&config);
    let exporter = exporter.start();
    for _ in 0..3 {
        let answer = exporter.get("/metrics");
        assert_eq!(answer.status, 401);
        assert!(
            answer.head.to_lowercase().contains("x-frame-options: deny"),
            "{}",
            answer.head
        );
    }
    let answer = exporter.get("/metrics");
    assert_eq!(answer.status, 429);
    assert!(
        !answer.head.to_lowercase().contains("x-frame-options"),
        "{}",
        answer.head
    );
}

#[test]
fn reloading_is_off_unless_it_is_turned_on() {
    let exporter = Exporter::start(&mut demo());
    for method in ["GET", "POST", "PUT"] {
        assert_eq!(exporter_asked(&exporter, method, ""), 403, "{method}");
    }
    let exporter = Exporter::start(demo().arg("--web.enable-lifecycle"));
    assert_eq!(exporter_asked(&exporter, "GET", ""), 405);
    assert_eq!(
        exporter_asked(&exporter, "POST", "Sec-Fetch-Site: cross-site\r\n"),
        403
    );
}

fn exporter_asked(exporter: &Exporter, method: &str, headers: &str) -> u16 {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(exporter.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{method} /-/reload HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"
    )
    .unwrap();
    read_answer(&mut stream).status
}

#[test]
fn plain_http_on_a_tls_port_is_told() {
    let setup = Setup::new(TLS);
    let exporter = setup.start();
    let answer = exporter.get("/metrics");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("HTTPS server"), "{}", answer.body);
}

#[cfg(target_os = "linux")]
#[test]
fn sockets_of_systemd_are_taken_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = demo();
    let mut shell = Command::new("sh");
    shell
        .env_clear()
        .envs(
            daemon
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        // systemd passes sockets from descriptor 3 on, to the process that it names.
        .arg("-c")
        .arg("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"")
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .arg("--web.systemd-socket")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut exporter = Exporter::start_on(&mut shell, &[]);
    let line = exporter.wait_for_line("listening");
    assert_eq!(exporter::fields(&line)["address"], address.to_string());
    let mut stream = TcpStream::connect(address).unwrap();
    ask(&mut stream, "/metrics");
    assert_eq!(read_answer(&mut stream).status, 200);
    exporter.stop();
}

#[test]
fn without_sockets_of_systemd_it_does_not_start() {
    let finished = exporter::run(demo().arg("--web.systemd-socket"));
    assert_eq!(finished.code, Some(64));
    assert!(
        finished.stderr.contains("passed no sockets on"),
        "{}",
        finished.stderr
    );
    let finished =
        exporter::run(demo().args(["--web.systemd-socket", "--web.listen-address=127.0.0.1:0"]));
    assert_eq!(finished.code, Some(64));
}

#[test]
fn the_shipped_example_is_a_file_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/web/web-config.yml");
    fs::copy(&shipped, folder.path().join("web-config.yml")).unwrap();
    let ca = Ca::new("any");
    let identity = ca.issue(&loopback());
    replace(&folder.path().join("server.pem"), &identity.cert);
    replace(&folder.path().join("server-key.pem"), &identity.key);
    replace(&folder.path().join("clients-ca.pem"), &ca.pem);
    let checked = exporter::run(
        command()
            .args(["web-config", "check"])
            .arg(folder.path().join("web-config.yml")),
    );
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("RequireAndVerifyClientCert"),
        "{}",
        checked.stdout
    );
    assert!(checked.stdout.contains("users: 1"), "{}", checked.stdout);
}
