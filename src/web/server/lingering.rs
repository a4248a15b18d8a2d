//! Closing a connection so that its last bytes arrive.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the client may go on talking after the farewell.
const LONGEST: Duration = Duration::from_secs(1);

/// How much of it is read at a time, in bytes.
const CHUNK: usize = 4096;

/// A stream that, once shut down, reads and drops what the client still sends until the client closes
/// as well, or a second is over.
///
/// A system that closes a connection with bytes unread resets it, and the client loses what it had
/// not read yet: the end of a response, if acknowledgements of HTTP/2 cross it, or one to a request
/// whose body nobody reads (RFC 9112, 9.6).
pub(super) struct Lingering<S> {
    stream: S,
    /// Counts from the shutdown on.
    left: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, left } = self.get_mut();
        let left = if let Some(left) = left {
            left
        } else {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            left.insert(Box::pin(sleep(LONGEST)))
        };
        let mut chunk = [0; CHUNK];
        while left.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_the_client_still_says_is_heard_until_it_closes() {
        let (mut client, server) = duplex(64);
        let mut server = Lingering::new(server);
        server.write_all(b"the end").await.unwrap();
        let closing = tokio::spawn(async move { server.shutdown().await });
        for _ in 0..10 {
            client.write_all(&[b'x'; 100]).await.unwrap();
        }
        assert!(!closing.is_finished());
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"the end");
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_listened_to_for_ever() {
        let (client, server) = duplex(64);
        let start = Instant::now();
        Lingering::new(server).shutdown().await.unwrap();
        assert!(start.elapsed() >= LONGEST && start.elapsed() < 2 * LONGEST);
        drop(client);
    }
}
