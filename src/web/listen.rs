//! Where to listen.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// An address to listen on: `:10114`, `127.0.0.1:10114`, `[::1]:10114` or `localhost:10114`.
///
/// Port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Every interface, over IPv6 and IPv4.
    All,
    Ip(SocketAddr),
    /// Resolved when it is bound.
    Name(String),
}

/// Why a text is not a [`ListenAddress`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseListenAddressError {
    /// There is nothing after the last colon, or no colon.
    #[error("no port; {ALLOWED}")]
    NoPort,
    /// The port is not a number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535; {ALLOWED}")]
    Port,
    /// The host is neither an IP address nor a host name.
    #[error("the host is neither an IP address nor a host name; {ALLOWED}")]
    Host,
}

const ALLOWED: &str = "use :PORT for all interfaces, HOST:PORT, IPV4:PORT or [IPV6]:PORT";

impl FromStr for ListenAddress {
    type Err = ParseListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: Host::Ip(address),
                port: address.port(),
            });
        }
        let (host, port) = text
            .rsplit_once(':')
            .filter(|(_, port)| !port.is_empty() && !port.ends_with(']'))
            .ok_or(ParseListenAddressError::NoPort)?;
        // The standard library would take a sign.
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseListenAddressError::Port);
        }
        let port = port.parse().map_err(|_| ParseListenAddressError::Port)?;
        let host = match host {
            "" => Host::All,
            name if is_host_name(name) => Host::Name(name.to_owned()),
            _ => return Err(ParseListenAddressError::Host),
        };
        Ok(Self { host, port })
    }
}

/// Whether a resolver may be asked for it. What consists of digits and dots only is a broken IPv4 address.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && name.bytes().any(|b| b.is_ascii_alphabetic())
        && !name.starts_with(['.', '-'])
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::All => write!(f, ":{}", self.port),
            Host::Ip(address) => write!(f, "{address}"),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why nothing listens on an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "cannot listen on {address}: address already in use; stop what listens there or choose another port"
    )]
    InUse {
        /// The address asked for.
        address: ListenAddress,
    },
    /// The system forbids it, as for ports below 1024.
    #[error("cannot listen on {address}: permission denied; ports below 1024 need a privilege")]
    Forbidden {
        /// The address asked for.
        address: ListenAddress,
    },
    /// The address is not one of this machine's.
    #[error("cannot listen on {address}: no interface of this machine has that address")]
    NotLocal {
        /// The address asked for.
        address: ListenAddress,
    },
    /// The host name has no address.
    #[error("cannot listen on {address}: the host name does not resolve")]
    Unresolved {
        /// The address asked for.
        address: ListenAddress,
        /// What the resolver said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Other {
        /// The address asked for.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: &ListenAddress, source: io::Error) -> Self {
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { address },
            _ => Self::Other { address, source },
        }
    }
}

impl ListenAddress {
    /// Listens on it: with one socket, or one for each address of a host name.
    ///
    /// # Errors
    /// Says which address and why, in one line.
    ///
    /// # Panics
    /// Must be called in a Tokio runtime.
    pub async fn bind(&self) -> Result<Vec<TcpListener>, BindError> {
        match &self.host {
            Host::All => self.bind_all_interfaces().map(|listener| vec![listener]),
            Host::Ip(address) => listen(*address).map(|listener| vec![listener]),
            Host::Name(name) => return self.bind_name(name).await,
        }
        .map_err(|error| BindError::new(self, error))
    }

    /// One socket for IPv6 and IPv4 together; IPv4 alone where the machine has no IPv6.
    fn bind_all_interfaces(&self) -> io::Result<TcpListener> {
        let any = |ip: IpAddr| listen(SocketAddr::new(ip, self.port));
        any(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            _ => any(Ipv4Addr::UNSPECIFIED.into()),
        })
    }

    /// `localhost` is two addresses as a rule, of which a container may lack one.
    async fn bind_name(&self, name: &str) -> Result<Vec<TcpListener>, BindError> {
        let mut addresses: Vec<_> = tokio::net::lookup_host((name, self.port))
            .await
            .map_err(|source| BindError::Unresolved {
                address: self.clone(),
                source,
            })?
            .collect();
        addresses.sort_unstable();
        addresses.dedup();

        let mut listeners = Vec::new();
        let mut missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match listen(address) {
                Ok(listener) => listeners.push(listener),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                    ) =>
                {
                    return Err(BindError::new(self, error));
                }
                Err(error) => missing = error,
            }
        }
        if listeners.is_empty() {
            return Err(BindError::new(self, missing));
        }
        Ok(listeners)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for old connections to leave TIME_WAIT. Windows means theft by the same
    // name, and needs no such thing.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_taken() {
        let table = [
            (":10114", Host::All, 10114),
            (":0", Host::All, 0),
            (
                "127.0.0.1:9100",
                Host::Ip("127.0.0.1:9100".parse().unwrap()),
                9100,
            ),
            ("[::1]:9100", Host::Ip("[::1]:9100".parse().unwrap()), 9100),
            ("[::]:65535", Host::Ip("[::]:65535".parse().unwrap()), 65535),
            ("localhost:80", Host::Name("localhost".into()), 80),
            (
                "exporter-1.example.org:80",
                Host::Name("exporter-1.example.org".into()),
                80,
            ),
        ];
        for (text, host, port) in table {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address, ListenAddress { host, port }, "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn addresses_that_are_refused() {
        use ParseListenAddressError::{Host, NoPort, Port};
        let table = [
            ("", NoPort),
            ("localhost", NoPort),
            ("127.0.0.1", NoPort),
            ("localhost:", NoPort),
            (":", NoPort),
            ("[::1]", NoPort),
            (":65536", Port),
            (":-1", Port),
            (":+80", Port),
            (":http", Port),
            (": 80", Port),
            ("::1:80", Host),
            ("1.2.3:80", Host),
            ("1.2.3.400:80", Host),
            ("[::1:80", Host),
            ("[localhost]:80", Host),
            ("a b:80", Host),
            ("http://localhost:80", Host),
            ("-x:80", Host),
            (".:80", Host),
            ("bücher.example:80", Host),
        ];
        for (text, expected) in table {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(error.to_string().contains("[IPV6]:PORT"));
        }
    }

    #[tokio::test]
    async fn all_interfaces_are_reached_over_ipv4_and_ipv6() {
        let listeners = ":0".parse::<ListenAddress>().unwrap().bind().await.unwrap();
        let local = listeners[0].local_addr().unwrap();
        let mut loopbacks = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        if local.is_ipv6() {
            loopbacks.push(Ipv6Addr::LOCALHOST.into());
        }
        for ip in loopbacks {
            tokio::net::TcpStream::connect((ip, local.port()))
                .await
                .unwrap();
            listeners[0].accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn localhost_is_every_loopback_address() {
        let listeners = "localhost:0"
            .parse::<ListenAddress>()
            .unwrap()
            .bind()
            .await
            .unwrap();
        assert!(!listeners.is_empty());
        for listener in listeners {
            assert!(listener.local_addr().unwrap().ip().is_loopback());
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_said_in_one_line() {
        let taken = "127.0.0.1:0"
            .parse::<ListenAddress>()
            .unwrap()
            .bind()
            .await
            .unwrap();
        let address = taken[0].local_addr().unwrap();
        let error = address
            .to_string()
            .parse::<ListenAddress>()
            .unwrap()
            .bind()
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {address}: address already in use; \
                 stop what listens there or choose another port"
            )
        );
        assert!(std::error::Error::source(&error).is_none());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_said() {
        // From the range set aside for documentation, which no machine has.
        let address: ListenAddress = "192.0.2.1:0".parse().unwrap();
        let error = address.bind().await.unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error:?}");
    }

    #[test]
    fn a_cause_is_named_once() {
        let address: ListenAddress = "nowhere.example:80".parse().unwrap();
        let error = BindError::Unresolved {
            address: address.clone(),
            source: io::Error::other("no such name"),
        };
        assert_eq!(
            error.to_string(),
            "cannot listen on nowhere.example:80: the host name does not resolve"
        );
        let error = BindError::new(&address, io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("permission denied"), "{error}");
        let error = BindError::new(&address, io::Error::other("odd"));
        assert_eq!(error.to_string(), "cannot listen on nowhere.example:80");
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "odd"
        );
    }
}
