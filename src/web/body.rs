//! What a response carries.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::places::Place;
use crate::metrics::exposition::{Exposition, RenderError};

/// The body of a response: one text, or the chunks of an exposition that may still grow and that others
/// may be receiving too.
#[derive(Debug)]
pub struct ResponseBody {
    content: Content,
    /// A place among the scrapes that may be under way, given back with the body's end.
    place: Option<Place>,
}

#[derive(Debug)]
enum Content {
    Text(Bytes),
    Exposition {
        exposition: Arc<Exposition>,
        next: usize,
        /// Bytes not yet sent; unknown if the exposition was growing when its sending began.
        remaining: Option<u64>,
    },
}

impl From<Bytes> for ResponseBody {
    fn from(text: Bytes) -> Self {
        Content::Text(text).into()
    }
}

impl From<Arc<Exposition>> for ResponseBody {
    fn from(exposition: Arc<Exposition>) -> Self {
        let remaining = exposition.len();
        Content::Exposition {
            exposition,
            next: 0,
            remaining,
        }
        .into()
    }
}

impl From<Content> for ResponseBody {
    fn from(content: Content) -> Self {
        Self {
            content,
            place: None,
        }
    }
}

impl ResponseBody {
    /// The same body, which takes up a place until it is sent or given up.
    pub(super) fn holding(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// Lets `cut` know when the connection has to end, for others want this body's place.
    pub(super) fn may_be_cut_by(&self, cut: &Arc<Notify>) {
        if let Some(place) = &self.place {
            place.may_be_cut_by(cut);
        }
    }

    /// Bytes not yet sent, if known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match &self.content {
            Content::Text(text) => Some(text.len() as u64),
            Content::Exposition { remaining, .. } => *remaining,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = RenderError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RenderError>>> {
        let chunk = match &mut self.content {
            Content::Text(text) => {
                let text = std::mem::take(text);
                Poll::Ready((!text.is_empty()).then_some(Ok(text)))
            }
            Content::Exposition {
                exposition,
                next,
                remaining,
            } => {
                let chunk = exposition.poll_chunk(*next, context);
                if let Poll::Ready(Some(Ok(chunk))) = &chunk {
                    *next += 1;
                    *remaining = remaining.map(|remaining| remaining - chunk.len() as u64);
                }
                chunk
            }
        };
        if let Some(place) = &self.place {
            // While the next chunk isn't there, the client can't take any.
            place.waits_for_client(chunk.is_ready());
        }
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::metrics::exposition::{Encoding, Format, render};

    fn next_chunk(body: &mut ResponseBody) -> Option<Bytes> {
        let frame = body.frame().now_or_never().expect("it is all there")?;
        frame.unwrap().into_data().ok()
    }

    fn drained(mut body: ResponseBody) -> Vec<u8> {
        let mut left = body.size_hint().exact().unwrap();
        let mut received = Vec::new();
        while let Some(chunk) = next_chunk(&mut body) {
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
    fn the_length_of_what_still_grows_is_open() {
        let body = ResponseBody::from(Arc::<Exposition>::default());
        assert_eq!(body.size_hint().exact(), None);
        assert!(!body.is_end_stream());
    }

    #[test]
    fn chunks_are_shared_not_copied() {
        let exposition = Arc::new(render([], Format::OpenMetrics, Encoding::Gzip).unwrap());
        let mut body = ResponseBody::from(Arc::clone(&exposition));
        let chunk = next_chunk(&mut body).unwrap();
        assert_eq!(chunk.as_ptr(), exposition.chunks()[0].as_ptr());
    }
}
