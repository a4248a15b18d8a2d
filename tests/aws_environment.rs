//! The real binary in the environments that AWS's tools know: credentials from where the SDK finds
//! them, endpoints, proxies and bundles.

mod support;

use std::{fs, path::Path, process::Stdio, time::Duration};

use support::{
    aws_source::{SECRET, SESSION_TOKEN, at},
    fake_aws::{Action, ErrorCode, FakeAws, Fault, Operation},
    tls_front::TlsFront,
};
use tempfile::TempDir;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines,
        copy_bidirectional,
    },
    net::{TcpListener, TcpStream},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// A running exporter that logs everything, in an environment that holds nothing but what it is
/// given.
struct Exporter {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Exporter {
    fn start(home: &Path, environment: &[(&str, &str)], args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iam-key-exporter"))
            .args(["--web.listen-address=127.0.0.1:0", "--aws.strategy=list"])
            .args(["--log.level=debug", "--log.format=logfmt"])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary can be started");
        let log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        Self {
            child,
            log,
            seen: Vec::new(),
        }
    }

    /// Waits for a log line that holds `text`. Whatever is logged meanwhile must tell no secret.
    async fn line(&mut self, text: &str) -> String {
        let found = timeout(Duration::from_secs(30), async {
            while let Some(line) = self.log.next_line().await.expect("the log is text") {
                assert!(
                    !line.contains(SECRET) && !line.contains(SESSION_TOKEN),
                    "{line}"
                );
                self.seen.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(line)) => line,
            _ => panic!("no \"{text}\" in {:#?}", self.seen),
        }
    }

    /// Waits until the account has been read.
    async fn reads(mut self) {
        let line = self.line("account").await;
        assert!(
            line.contains("account read completely") && line.contains("account=123456789012"),
            "{line}"
        );
    }

    /// Waits until the account could not be read, for a reason.
    async fn fails(&mut self, reason: &str) -> String {
        let line = self.line("refresh failed").await;
        assert!(line.contains(&format!("reason={reason}")), "{line}");
        assert!(line.contains("level=warn"), "{line}");
        line
    }
}

/// A double with one user, and a directory for files.
async fn double() -> (FakeAws, TempDir) {
    let aws = FakeAws::start().await;
    aws.account().add_user("alice", at("2020-01-01T00:00:00Z"));
    aws.account().add_key("alice", at("2026-01-01T00:00:00Z"));
    (aws, TempDir::new().expect("a directory can be made"))
}

fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("a file can be written");
    path.to_str().expect("a path of ASCII").to_owned()
}

const STATIC: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAFAKE"),
    ("AWS_SECRET_ACCESS_KEY", SECRET),
    ("AWS_SESSION_TOKEN", SESSION_TOKEN),
];

fn with_static<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&STATIC[..], more].concat()
}

#[tokio::test]
async fn no_credentials_anywhere_say_what_to_do() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    let mut exporter = Exporter::start(home.path(), &[("AWS_ENDPOINT_URL", &endpoint)], &[]);
    let line = exporter.fails("credentials").await;
    assert!(line.contains("account=unknown"), "{line}");
    assert!(line.contains("GetCallerIdentity: "), "{line}");
    assert!(line.contains("set AWS_PROFILE or --aws.profile"), "{line}");
    assert!(exporter.child.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn a_profile_is_read_from_the_shared_files() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    let credentials = file(
        &home,
        "credentials",
        format!("[audit]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = {SECRET}\n"),
    );
    let config = file(
        &home,
        "config",
        format!("[profile audit]\nregion = eu-central-1\nendpoint_url = {endpoint}\n"),
    );
    let environment = [
        ("AWS_CONFIG_FILE", &*config),
        ("AWS_SHARED_CREDENTIALS_FILE", &*credentials),
    ];
    Exporter::start(home.path(), &environment, &["--aws.profile=audit"])
        .reads()
        .await;
    let by_variable = [&environment[..], &[("AWS_PROFILE", "audit")]].concat();
    Exporter::start(home.path(), &by_variable, &[])
        .reads()
        .await;
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_a_matter_of_credentials() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    let mut exporter = Exporter::start(
        home.path(),
        &[("AWS_ENDPOINT_URL", &endpoint)],
        &["--aws.profile=no-such-profile"],
    );
    let line = exporter.fails("credentials").await;
    assert!(line.contains("no-such-profile"), "{line}");
}

#[tokio::test]
async fn a_credential_process_is_run() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    let script = file(
        &home,
        "credentials.sh",
        format!(
            "printf '%s' '{{\"Version\":1,\"AccessKeyId\":\"AKIAFAKE\",\
             \"SecretAccessKey\":\"{SECRET}\",\"SessionToken\":\"{SESSION_TOKEN}\"}}'\n"
        ),
    );
    let config = file(
        &home,
        "config",
        format!("[profile process]\ncredential_process = /bin/sh {script}\n"),
    );
    let environment = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_CONFIG_FILE", &*config),
    ];
    Exporter::start(home.path(), &environment, &["--aws.profile=process"])
        .reads()
        .await;
}

#[tokio::test]
async fn a_credential_process_that_fails_tells_no_secret() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    for (content, what) in [
        (
            format!("echo {SECRET}; echo {SECRET} >&2; exit 3\n"),
            "an exit status",
        ),
        (format!("echo {SECRET}\n"), "no JSON"),
        (
            format!("echo '{{\"Version\":2,\"SecretAccessKey\":\"{SECRET}\"}}'\n"),
            "a version",
        ),
    ] {
        let script = file(&home, "credentials.sh", content);
        let config = file(
            &home,
            "config",
            format!("[profile process]\ncredential_process = /bin/sh {script}\n"),
        );
        let environment = [
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_CONFIG_FILE", &*config),
        ];
        let mut exporter = Exporter::start(home.path(), &environment, &["--aws.profile=process"]);
        let line = exporter.fails("credentials").await;
        assert!(line.contains("GetCallerIdentity: "), "{what}: {line}");
    }
}

#[tokio::test]
async fn an_sso_profile_that_is_not_logged_in_is_a_matter_of_credentials() {
    let (aws, home) = double().await;
    let endpoint = aws.endpoint();
    let config = file(
        &home,
        "config",
        "[profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Audit\n\
         [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n",
    );
    let environment = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_CONFIG_FILE", &*config),
    ];
    let mut exporter = Exporter::start(home.path(), &environment, &["--aws.profile=sso"]);
    let line = exporter.fails("credentials").await;
    assert!(
        !line.contains("feature") && !line.contains("enabled"),
        "{line}"
    );
    assert!(line.contains("aws sso login"), "{line}");
}

#[tokio::test]
async fn each_service_can_have_an_endpoint_of_its_own() {
    let (iam, home) = double().await;
    let sts = FakeAws::start().await;
    let (iam_endpoint, sts_endpoint) = (iam.endpoint(), sts.endpoint());
    let environment = with_static(&[
        ("AWS_ENDPOINT_URL_IAM", &iam_endpoint),
        ("AWS_ENDPOINT_URL_STS", &sts_endpoint),
    ]);
    Exporter::start(home.path(), &environment, &[])
        .reads()
        .await;
    assert_eq!(sts.calls().of(Operation::GetCallerIdentity), 1);
    assert_eq!(sts.calls().total(), 1);
    assert_eq!(iam.calls().of(Operation::ListUsers), 1);
}

#[tokio::test]
async fn an_http_proxy_is_used_and_no_proxy_spares_a_host() {
    let (aws, home) = double().await;
    // The double reads the request lines that are meant for proxies, so it is the proxy as well.
    let proxy = aws.endpoint();
    let environment = with_static(&[
        ("AWS_ENDPOINT_URL", "http://iam.example.invalid"),
        ("HTTP_PROXY", &proxy),
    ]);
    Exporter::start(home.path(), &environment, &[])
        .reads()
        .await;

    let environment = with_static(&[
        ("AWS_ENDPOINT_URL", &proxy),
        ("HTTP_PROXY", "http://proxy.example.invalid:3128"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    Exporter::start(home.path(), &environment, &[])
        .reads()
        .await;

    let environment = with_static(&[
        ("AWS_ENDPOINT_URL", "http://iam.example.invalid"),
        ("HTTP_PROXY", "http://proxy.example.invalid:3128"),
    ]);
    let mut exporter = Exporter::start(home.path(), &environment, &[]);
    let line = exporter.fails("network").await;
    assert!(line.contains("HTTPS_PROXY"), "{line}");
}

/// A proxy that connects to one host under whatever name it is asked for. Gives the requests.
async fn connect_proxy(listener: TcpListener, to: std::net::SocketAddr) -> std::io::Result<()> {
    loop {
        let (mut client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            if !head.starts_with(b"CONNECT iam.example.invalid:443 ") {
                return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
            }
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut server = TcpStream::connect(to).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        });
    }
}

#[tokio::test]
async fn an_https_proxy_is_used_and_a_ca_bundle_makes_a_certificate_trusted() {
    let (aws, home) = double().await;
    let tls = TlsFront::before(&aws, "iam.example.invalid").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let proxying = tokio::spawn(connect_proxy(listener, tls.address));
    let bundle = file(&home, "bundle.pem", &tls.bundle);
    let environment = with_static(&[
        ("AWS_ENDPOINT_URL", "https://iam.example.invalid"),
        ("HTTPS_PROXY", &proxy),
    ]);

    let mut exporter = Exporter::start(home.path(), &environment, &[]);
    let line = exporter.fails("tls").await;
    assert!(line.contains("point AWS_CA_BUNDLE at its CA"), "{line}");
    assert_eq!(aws.calls().total(), 0);

    let trusting = [&environment[..], &[("AWS_CA_BUNDLE", &*bundle)]].concat();
    Exporter::start(home.path(), &trusting, &[]).reads().await;
    assert_eq!(aws.calls().of(Operation::ListUsers), 1);
    proxying.abort();
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_ends_the_start() {
    let home = TempDir::new().unwrap();
    let empty = file(&home, "empty.pem", "");
    for (bundle, said) in [
        (&*empty, "no PEM certificate"),
        ("/no/such/file", "No such file"),
    ] {
        let mut exporter =
            Exporter::start(home.path(), &with_static(&[("AWS_CA_BUNDLE", bundle)]), &[]);
        let line = exporter.line("level=error").await;
        assert!(
            line.contains(&format!("AWS_CA_BUNDLE {bundle}: ")),
            "{line}"
        );
        assert!(line.contains(said), "{line}");
        assert_eq!(exporter.child.wait().await.unwrap().code(), Some(64));
    }
}

#[tokio::test]
async fn no_secret_is_logged_whatever_aws_answers() {
    for action in [
        Action::Error(ErrorCode::ExpiredToken),
        Action::Error(ErrorCode::SignatureDoesNotMatch),
        Action::Html,
        Action::Status(500),
        Action::Close,
        Action::TruncatedXml,
    ] {
        let (aws, home) = double().await;
        aws.inject(Fault::on(Operation::ListUsers, action));
        let endpoint = aws.endpoint();
        let environment = with_static(&[
            ("AWS_ENDPOINT_URL", &endpoint),
            ("RUST_LOG", "trace"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ]);
        let mut exporter = Exporter::start(home.path(), &environment, &["--refresh.timeout=2s"]);
        let line = exporter.line("refresh failed").await;
        assert!(line.contains("account=123456789012"), "{line}");
        assert!(line.contains("ListUsers: "), "{line}");
    }
}
