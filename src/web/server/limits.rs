//! What a client may take.

use std::time::Duration;

/// Files that the process needs besides its connections: listeners, standard streams, the runtime's own,
/// connections to AWS, and files being read.
const OTHER_FILES: usize = 128;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a request's head may take, and how long an HTTP/1.1 connection may idle before it.
    pub header_timeout: Duration,
    /// How long a request's head may be, in bytes.
    pub header_bytes: usize,
    /// How long an HTTP/2 connection may be without a request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what it is sent; it holds a whole body meanwhile.
    pub send_timeout: Duration,
    /// How long a request may take from its head to the last byte of the response.
    pub response_timeout: Duration,
    /// How long a client may take nothing of a scrape when others want its place.
    pub scrape_stall: Duration,
    /// How long a scrape may take when others want its place.
    pub scrape_time: Duration,
    /// How many requests may be under way on one HTTP/2 connection.
    pub streams: u32,
    /// How many connections may be open. More wait in the kernel.
    pub connections: usize,
    /// How long a connection may be without a request when all connections are taken and more wait.
    pub grace: Duration,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
}

impl Limits {
    /// How many files may be open with all these connections.
    pub fn files(&self) -> u64 {
        (self.connections + OTHER_FILES) as u64
    }

    /// The same, with no more connections than `files` open files leave room for.
    #[must_use]
    pub fn within_files(self, files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        // Few files are better shared than all kept back.
        let for_connections = files.saturating_sub(OTHER_FILES).max(files / 2).max(1);
        Self {
            connections: self.connections.min(for_connections),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            // A little over 10 s, so that a scraper with that interval keeps its connection.
            header_timeout: Duration::from_secs(12),
            header_bytes: 16 * 1024,
            // A little over a minute, for the same reason.
            idle_timeout: Duration::from_secs(65),
            send_timeout: Duration::from_secs(30),
            // No scraper waits as long as this.
            response_timeout: Duration::from_mins(2),
            // Between two pieces of a scrape, a client that reads leaves far less.
            scrape_stall: Duration::from_secs(2),
            // Prometheus waits no longer unless it is told to.
            scrape_time: Duration::from_secs(10),
            streams: 32,
            connections: 1024,
            grace: Duration::from_secs(1),
            // The process promises to end within 5 s.
            drain: Duration::from_secs(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_others() {
        let table = [(1_048_576, 1024), (1024, 896), (200, 100), (3, 1), (0, 1)];
        for (files, connections) in table {
            let limits = Limits::default().within_files(files);
            assert_eq!(limits.connections, connections, "{files}");
        }
    }
}
