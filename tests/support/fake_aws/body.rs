//! Bodies of answers, whole and broken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A body that is sent whole, or breaks off half-way.
pub(super) struct AnswerBody {
    bytes: Bytes,
    length: u64,
    next: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Whole,
    Half,
    Flush,
    Break,
    Done,
}

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            length: bytes.len() as u64,
            bytes,
            next: Step::Whole,
        }
    }

    /// With the second half of the bytes left out, and nothing to tell that.
    pub(super) fn halved(self) -> Self {
        let half = self.bytes.len() / 2;
        Self::whole(self.bytes.slice(..half))
    }

    /// With the second half announced and not sent.
    pub(super) fn cut_in_half(self) -> Self {
        Self {
            next: Step::Half,
            ..self
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.next {
            Step::Whole => {
                self.next = Step::Done;
                Poll::Ready(Some(Ok(Frame::data(self.bytes.clone()))))
            }
            Step::Half => {
                self.next = Step::Flush;
                let half = self.bytes.len() / 2;
                Poll::Ready(Some(Ok(Frame::data(self.bytes.slice(..half)))))
            }
            // hyper writes out what it has when a body has nothing ready, and drops it when a body fails.
            Step::Flush => {
                self.next = Step::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Break => {
                self.next = Step::Done;
                Poll::Ready(Some(Err(io::Error::other("cut off on purpose"))))
            }
            Step::Done => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.next, Step::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
