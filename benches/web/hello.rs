//! The least that a server of hyper can do: a few bytes for every request, over plain HTTP or TLS.

use std::{convert::Infallible, path::Path, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::until_stdin_ends;

/// The role of a process that says hello, over TLS if there is a folder with a certificate.
#[tokio::main]
pub(crate) async fn serve(folder: Option<&Path>) -> anyhow::Result<()> {
    let tls = folder.map(tls).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(accept(listener, tls));
    tokio::task::spawn_blocking(until_stdin_ends).await?;
    Ok(())
}

fn tls(folder: &Path) -> anyhow::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            // What a client does with its connection is its own business.
            let _ = stream.set_nodelay(true);
            match tls {
                None => answer(stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream).await;
                    }
                }
            }
        });
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let hello = service_fn(async |_| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
            b"hello, world",
        ))))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), hello);
    let _ = connection.await;
}
