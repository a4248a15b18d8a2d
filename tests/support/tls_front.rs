//! The double behind TLS, with a certificate that only its own bundle vouches for.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole module and uses a part of it"
)]

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use super::fake_aws::FakeAws;

/// A server that ends TLS and hands on what is inside, for as long as the runtime lives.
pub struct TlsFront {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate in PEM: a bundle that makes it trusted.
    pub bundle: Vec<u8>,
}

impl TlsFront {
    /// Before the double, as a host of that name.
    pub async fn before(aws: &FakeAws, host: &str) -> Self {
        let certified = rcgen::generate_simple_self_signed([host.to_owned()])
            .expect("a certificate can be made");
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("the loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let upstream = aws.address();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(stream).await?;
                    let mut inner = TcpStream::connect(upstream).await?;
                    copy_bidirectional(&mut outer, &mut inner).await?;
                    io::Result::Ok(())
                });
            }
        });
        Self {
            address,
            bundle: certified.cert.pem().into_bytes(),
        }
    }
}
