//! Scrapes that take long: much to send, and clients that take little of it.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};
use tempfile::NamedTempFile;

use super::{Exporter, PATIENCE, ask, command};

/// A credential report so long that its exposition doesn't fit into the kernel's buffers.
pub(crate) fn long_report() -> NamedTempFile {
    let mut csv = String::from(
        "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
         access_key_2_active,access_key_2_last_rotated\n",
    );
    for number in 0..20_000 {
        let name = format!("user-{number:06}");
        writeln!(
            csv,
            "{name},arn:aws:iam::123456789012:user/{name},2020-01-01T00:00:00Z,true,\
             2020-01-02T00:00:00Z,false,N/A"
        )
        .expect("texts can be written");
    }
    let mut file = NamedTempFile::new().expect("a file can be made");
    file.write_all(csv.as_bytes()).expect("it can be written");
    file
}

/// The exporter with a report, once that is read, and with further arguments.
pub(crate) fn with_report(file: &NamedTempFile, arguments: &[&str]) -> Exporter {
    let source = format!("--source=report:{}", file.path().display());
    let exporter = Exporter::start(command().arg(source).args(arguments));
    exporter.poll("/-/ready", |answer| answer.status == 200);
    exporter
}

/// A client whose kernel takes hardly anything off the wire until it reads.
pub(crate) fn slow_client(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
        .expect("a socket can be made");
    socket
        .set_recv_buffer_size(4096)
        .expect("a buffer can be small");
    socket
        .connect(&address.into())
        .expect("the exporter listens");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out can be set");
    stream
}

/// Asks for the metrics and waits for the first byte of the answer: the rest is in flight then.
pub(crate) fn scrape_in_flight(address: SocketAddr) -> TcpStream {
    let mut stream = slow_client(address);
    ask(&mut stream, "/metrics");
    stream.peek(&mut [0]).expect("the answer begins");
    stream
}
