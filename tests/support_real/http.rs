//! One request, one answer, over a connection of its own.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const TIME_OUT: Duration = Duration::from_secs(15);

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    /// The answer if its status is 200, else what was answered instead.
    pub(crate) fn ok(self) -> Result<Self, String> {
        if self.status == 200 {
            Ok(self)
        } else {
            Err(format!("status {}: {}", self.status, self.body))
        }
    }
}

/// The headers are names and values; an error says in one line what went wrong.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let mut request = Request::get(path).header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(address, request, Bytes::new()).await
}

pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    content_type: &str,
    body: String,
) -> Result<Answer, String> {
    let request = Request::post(path)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, content_type);
    send(address, request, body.into()).await
}

async fn send(
    address: SocketAddr,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<Answer, String> {
    let request = request
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    match timeout(TIME_OUT, exchange(address, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: no answer in {TIME_OUT:?}")),
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let content_type = match response.headers().get(CONTENT_TYPE) {
            Some(value) => value.to_str()?.to_owned(),
            None => String::new(),
        };
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, Box<dyn Error>>(Answer {
            status,
            content_type,
            body: String::from_utf8(body.into())?,
        })
    };
    // The connection moves the bytes while the exchange waits for them. It may end first, when the peer closes after
    // its answer: what has arrived is still to be read.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}
