//! Clients that speak TLS, HTTP/1.1 and HTTP/2.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::{Ca, Identity};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) config: Arc<ClientConfig>,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Reads what belongs to the head.
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, Trouble> {
        let (head, body) = response.into_parts();
        let body = timeout(DEADLINE, body.collect()).await??.to_bytes();
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec())?,
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.status, self.headers)
    }
}

/// One connection to send requests on.
pub(crate) enum Connection {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// Trusts `ca`, shows `identity`, and offers the protocols.
    pub(crate) fn new(ca: &Ca, identity: Option<&Identity>, protocols: &[&str]) -> Self {
        Self::of_versions(ca, identity, protocols, rustls::ALL_VERSIONS)
    }

    pub(crate) fn of_versions(
        ca: &Ca,
        identity: Option<&Identity>,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Self {
            config: Arc::new(config),
        }
    }

    pub(crate) async fn shake_hands(
        &self,
        address: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, Trouble> {
        self.shake_hands_over(TcpStream::connect(address).await?)
            .await
    }

    pub(crate) async fn shake_hands_over(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::from(stream.peer_addr()?.ip());
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(timeout(DEADLINE, connector.connect(name, stream)).await??)
    }

    /// Connects, and speaks what is agreed on.
    pub(crate) async fn connect(&self, address: SocketAddr) -> Result<Connection, Trouble> {
        self.connect_over(TcpStream::connect(address).await?).await
    }

    /// Connects in such a way that the kernel takes hardly anything off the wire until somebody reads.
    pub(crate) async fn connect_slowly(&self, address: SocketAddr) -> Result<Connection, Trouble> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        self.connect_over(socket.connect(address).await?).await
    }

    async fn connect_over(&self, stream: TcpStream) -> Result<Connection, Trouble> {
        let stream = self.shake_hands_over(stream).await?;
        let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        Ok(if is_two {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Connection::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Connection::One(sender)
        })
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        self.connect(address).await?.get(path, headers).await
    }
}

impl Connection {
    /// Whether another request can be sent on it.
    pub(crate) async fn is_usable(&mut self) -> bool {
        match self {
            Self::One(sender) => sender.ready().await.is_ok(),
            Self::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        timeout(DEADLINE, self.get_unbounded(path, headers)).await?
    }

    async fn get_unbounded(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        Answer::read(self.begin(path, headers).await?).await
    }

    /// Asks, and waits for the head of the answer.
    pub(crate) async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Trouble> {
        let request = |uri: String| {
            let mut request = Request::get(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request
        };
        Ok(match self {
            Self::One(sender) => {
                let request = request(path.to_owned()).header("host", "localhost");
                sender.send_request(request.body(Empty::new())?).await?
            }
            Self::Two(sender) => {
                let request = request(format!("https://localhost{path}"));
                sender.send_request(request.body(Empty::new())?).await?
            }
        })
    }
}
