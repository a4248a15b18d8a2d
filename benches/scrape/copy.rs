//! The least that a scrape can cost: bytes made beforehand, handed to the kernel.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use iam_key_exporter::metrics::exposition::Encoding;

use super::{client::Kind, until_stdin_ends};

/// The role of a process that answers every request with the content of a file, a whole response.
pub(crate) fn serve(path: &str) -> anyhow::Result<()> {
    let response = fs::read(path)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away ends its connection and nothing else.
            let _ = answer(&stream, &response);
        }
    });
    until_stdin_ends();
    Ok(())
}

/// Answers one request after another until the client goes away.
fn answer(mut stream: &TcpStream, response: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        // The empty line that ends a request's head.
        if line.is_empty() {
            stream.write_all(response)?;
        }
    }
    Ok(())
}

/// The whole response of that kind with this body.
pub(crate) fn response(kind: Kind, body: &[u8]) -> Vec<u8> {
    let coding = match kind.encoding {
        Encoding::Identity => "",
        Encoding::Gzip => "Content-Encoding: gzip\r\n",
    };
    let content_type = kind.format.content_type();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{coding}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
