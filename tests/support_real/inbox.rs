//! Where notifications arrive: a webhook for each receiver, Slack's, and a mail server.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mail_parser::MessageParser;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

/// Everything that has arrived, in its order. It listens for as long as the runtime of the test lives.
pub(crate) struct Inbox {
    http: SocketAddr,
    smtp: SocketAddr,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    posts: Vec<Post>,
    slack: Vec<Value>,
    mails: Vec<Mail>,
}

/// A webhook notification.
#[derive(Clone)]
struct Post {
    receiver: String,
    body: Value,
}

/// A mail, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// A receiver and the labels that its notifications have in common by `group_by`.
pub(crate) type Group = (String, BTreeMap<String, String>);

impl Inbox {
    pub(crate) async fn open() -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let (http_listener, http) = listen().await;
        tokio::spawn(serve_http(http_listener, Arc::clone(&received)));
        let (smtp_listener, smtp) = listen().await;
        tokio::spawn(serve_smtp(smtp_listener, Arc::clone(&received)));
        Self {
            http,
            smtp,
            received,
        }
    }

    pub(crate) fn webhook_url(&self, receiver: &str) -> String {
        format!("http://{}/webhook/{receiver}", self.http)
    }

    pub(crate) fn slack_url(&self) -> String {
        format!("http://{}/slack", self.http)
    }

    pub(crate) fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// The alerts of every webhook notification so far, as often as they were told of.
    pub(crate) fn alerts(&self) -> impl Iterator<Item = Value> {
        self.posts()
            .into_iter()
            .flat_map(|post| alerts_of(&post).to_vec())
    }

    fn posts(&self) -> Vec<Post> {
        lock(&self.received).posts.clone()
    }

    /// Every Slack message so far.
    pub(crate) fn slack(&self) -> Vec<Value> {
        lock(&self.received).slack.clone()
    }

    /// Every mail so far.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        lock(&self.received).mails.clone()
    }

    /// What somebody knows who has read every webhook notification: each alert of each group, by fingerprint, as last
    /// told of.
    pub(crate) fn groups(&self) -> BTreeMap<Group, BTreeMap<String, Value>> {
        let mut groups: BTreeMap<Group, BTreeMap<String, Value>> = BTreeMap::new();
        for post in self.posts() {
            let labels = text_map(&post.body["groupLabels"]);
            let told = groups.entry((post.receiver.clone(), labels)).or_default();
            for alert in alerts_of(&post) {
                told.insert(text(&alert["fingerprint"]), alert.clone());
            }
        }
        groups
    }
}

fn alerts_of(post: &Post) -> &[Value] {
    post.body["alerts"].as_array().expect("alerts are a list")
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received
        .lock()
        .expect("nobody panics with the inbox in hand")
}

fn text(value: &Value) -> String {
    value.as_str().expect("Alertmanager's text").to_owned()
}

/// An object of texts, such as the labels of an alert.
pub(crate) fn text_map(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .expect("Alertmanager's labels are an object")
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the system has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}

async fn serve_http(listener: TcpListener, received: Arc<Mutex<Received>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        let service = service_fn(move |request: Request<Incoming>| {
            let received = Arc::clone(&received);
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await?.to_bytes();
                let status = if keep(&received, &path, &body) {
                    200
                } else {
                    400
                };
                let response = Response::builder()
                    .status(status)
                    .body(Empty::<Bytes>::new());
                Ok::<_, hyper::Error>(response.expect("a plain response"))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Whether the request was one that the inbox is for. Alertmanager logs a refusal, which the failing test then shows.
fn keep(received: &Mutex<Received>, path: &str, body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice(body) else {
        return false;
    };
    if path == "/slack" {
        lock(received).slack.push(body);
    } else if let Some(receiver) = path.strip_prefix("/webhook/") {
        lock(received).posts.push(Post {
            receiver: receiver.to_owned(),
            body,
        });
    } else {
        return false;
    }
    true
}

async fn serve_smtp(listener: TcpListener, received: Arc<Mutex<Received>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        // A client that goes away is the client's matter.
        tokio::spawn(async move {
            let _ = take_mails(stream, &received).await;
        });
    }
}

/// As much of RFC 5321 as a client needs that only hands mail over.
async fn take_mails(stream: TcpStream, received: &Mutex<Received>) -> io::Result<()> {
    let mut stream = BufStream::new(stream);
    reply(&mut stream, "220 inbox").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        line.clear();
        match verb.as_str() {
            "DATA" => {
                reply(&mut stream, "354 go on").await?;
                let mail = decode(&read_data(&mut stream).await?);
                lock(received).mails.push(mail);
                reply(&mut stream, "250 kept").await?;
            }
            "QUIT" => return reply(&mut stream, "221 bye").await,
            _ => reply(&mut stream, "250 fine").await?,
        }
    }
    Ok(())
}

async fn reply(stream: &mut BufStream<TcpStream>, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// A message, up to the line that is a dot; a line that begins with one has had another put before it.
async fn read_data(stream: &mut BufStream<TcpStream>) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.as_slice() {
            b".\r\n" => return Ok(message),
            [b'.', rest @ ..] => message.extend_from_slice(rest),
            whole => message.extend_from_slice(whole),
        }
    }
}

fn decode(message: &[u8]) -> Mail {
    let mail = MessageParser::default()
        .parse(message)
        .expect("Alertmanager writes mail");
    let body = |body: Option<Cow<'_, str>>| {
        body.map(|body| body.replace("\r\n", "\n"))
            .unwrap_or_default()
    };
    Mail {
        to: mail
            .to()
            .and_then(|to| to.first())
            .and_then(|to| to.address())
            .unwrap_or_default()
            .to_owned(),
        subject: mail.subject().unwrap_or_default().to_owned(),
        text: body(mail.body_text(0)),
        html: body(mail.body_html(0)),
    }
}
