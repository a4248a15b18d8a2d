//! What a response carries.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::metrics::exposition::Exposition;

/// The body of a response: one text, or the chunks of an exposition that others may be receiving too.
#[derive(Debug)]
pub struct ResponseBody(Content);

#[derive(Debug)]
enum Content {
    Text(Bytes),
    Exposition {
        exposition: Arc<Exposition>,
        next: usize,
        remaining: u64,
    },
}

impl From<Bytes> for ResponseBody {
    fn from(text: Bytes) -> Self {
        Self(Content::Text(text))
    }
}

impl From<Arc<Exposition>> for ResponseBody {
    fn from(exposition: Arc<Exposition>) -> Self {
        let remaining = exposition.len();
        Self(Content::Exposition {
            exposition,
            next: 0,
            remaining,
        })
    }
}

impl ResponseBody {
    /// Bytes not yet sent.
    pub(super) fn remaining(&self) -> u64 {
        match &self.0 {
            Content::Text(text) => text.len() as u64,
            Content::Exposition { remaining, .. } => *remaining,
        }
    }

    pub(super) fn next_chunk(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Content::Text(text) => Some(std::mem::take(text)).filter(|text| !text.is_empty()),
            Content::Exposition {
                exposition,
                next,
                remaining,
            } => {
                let chunk = exposition.chunks().get(*next)?.clone();
                *next += 1;
                *remaining -= chunk.len() as u64;
                Some(chunk)
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exposition::{Encoding, Format, render};

    fn drained(mut body: ResponseBody) -> Vec<u8> {
        let mut left = body.size_hint().exact().unwrap();
        let mut received = Vec::new();
        while let Some(chunk) = body.next_chunk() {
            assert!(!chunk.is_empty());
            left -= chunk.len() as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
            assert_eq!(body.is_end_stream(), left == 0);
            received.extend_from_slice(&chunk);
        }
        assert!(body.is_end_stream());
        received
    }

    #[test]
    fn a_body_knows_its_length_to_the_end() {
        let exposition = render([], Format::OpenMetrics, Encoding::Identity).unwrap();
        assert_eq!(drained(Arc::new(exposition).into()), b"# EOF\n");
        assert_eq!(drained(Bytes::from("text").into()), b"text");
        assert_eq!(drained(Bytes::new().into()), b"");
    }

    #[test]
    fn chunks_are_shared_not_copied() {
        let exposition = Arc::new(render([], Format::OpenMetrics, Encoding::Gzip).unwrap());
        let mut body = ResponseBody::from(Arc::clone(&exposition));
        let chunk = body.next_chunk().unwrap();
        assert_eq!(chunk.as_ptr(), exposition.chunks()[0].as_ptr());
    }
}
