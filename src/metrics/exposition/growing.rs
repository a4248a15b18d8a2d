//! An exposition that is read while it is being written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Why an exposition broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A collector returned an error.
    #[error("a metrics collector failed")]
    Collector,
    /// A collector panicked, or the runtime is shutting down.
    #[error("rendering the metrics broke off")]
    BrokenOff,
}

/// An exposition in the chunks it is written in, so that neither rendering nor sending ever copies it
/// whole. Any number of readers follow the writer, each at its own pace.
#[derive(Debug, Default)]
pub struct Exposition(
    // A std mutex: it is held for a few instructions, once a chunk, and never across an await.
    Mutex<State>,
);

#[derive(Debug, Default)]
struct State {
    chunks: Vec<Bytes>,
    /// Set once there is nothing more to come.
    end: Option<Result<(), RenderError>>,
    /// Readers that wait for the next chunk or the end.
    waiting: Vec<Waker>,
}

impl State {
    fn wait(&mut self, reader: &Waker) {
        if !self.waiting.iter().any(|waker| waker.will_wake(reader)) {
            self.waiting.push(reader.clone());
        }
    }
}

impl Exposition {
    /// Appends a chunk.
    pub(super) fn push(&self, chunk: Bytes) {
        self.change(|state| state.chunks.push(chunk));
    }

    /// Appends the last chunk, if there is one left, and ends. Both at once, so that a body of one chunk
    /// has a known length when its first reader looks. Only the first end counts.
    pub(super) fn end(&self, last: Option<Bytes>, end: Result<(), RenderError>) {
        self.change(|state| {
            if state.end.is_none() {
                state.chunks.extend(last);
                state.end = Some(end);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a push or a set, so a panic elsewhere leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk at `index`; `None` after the last one. Chunks are never empty.
    pub fn poll_chunk(
        &self,
        index: usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RenderError>>> {
        let mut state = self.lock();
        match (state.chunks.get(index), state.end) {
            (Some(chunk), _) => Poll::Ready(Some(Ok(chunk.clone()))),
            (None, Some(Ok(()))) => Poll::Ready(None),
            (None, Some(Err(error))) => Poll::Ready(Some(Err(error))),
            (None, None) => {
                state.wait(context.waker());
                Poll::Pending
            }
        }
    }

    /// Waits until there is something to send, or nothing to come.
    ///
    /// # Errors
    /// Fails if rendering broke off before.
    pub async fn begun(&self) -> Result<(), RenderError> {
        self.wait_for(|state| match state.end {
            _ if !state.chunks.is_empty() => Some(Ok(())),
            end => end,
        })
        .await
    }

    /// Waits until it is whole.
    ///
    /// # Errors
    /// Fails if rendering broke off.
    pub async fn ended(&self) -> Result<(), RenderError> {
        self.wait_for(|state| state.end).await
    }

    async fn wait_for(
        &self,
        done: impl Fn(&State) -> Option<Result<(), RenderError>>,
    ) -> Result<(), RenderError> {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
            done(&state).map_or_else(
                || {
                    state.wait(context.waker());
                    Poll::Pending
                },
                Poll::Ready,
            )
        })
        .await
    }

    /// Whether it is being written yet.
    pub(super) fn is_growing(&self) -> bool {
        self.lock().end.is_none()
    }

    /// Whether it can be given to somebody new.
    pub(super) fn is_sound(&self) -> bool {
        !matches!(self.lock().end, Some(Err(_)))
    }

    /// The chunks so far.
    pub fn chunks(&self) -> Vec<Bytes> {
        self.lock().chunks.clone()
    }

    /// The length of the whole in bytes; `None` while it is being written, or if that broke off.
    pub fn len(&self) -> Option<u64> {
        let state = self.lock();
        let len = || state.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        (state.end == Some(Ok(()))).then(len)
    }

    /// Whether it is whole and holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use futures_util::FutureExt as _;

    use super::*;

    fn poll(exposition: &Exposition, index: usize) -> Poll<Option<Result<Bytes, RenderError>>> {
        exposition.poll_chunk(index, &mut Context::from_waker(Waker::noop()))
    }

    fn chunk(text: &'static str) -> Poll<Option<Result<Bytes, RenderError>>> {
        Poll::Ready(Some(Ok(text.into())))
    }

    #[test]
    fn a_reader_follows_the_writer_to_the_end() {
        let exposition = Exposition::default();
        assert!(poll(&exposition, 0).is_pending());
        exposition.push("a".into());
        assert_eq!(poll(&exposition, 0), chunk("a"));
        assert!(poll(&exposition, 1).is_pending());
        assert_eq!(exposition.len(), None);
        exposition.end(Some("bc".into()), Ok(()));
        assert_eq!(poll(&exposition, 1), chunk("bc"));
        assert_eq!(poll(&exposition, 2), Poll::Ready(None));
        assert_eq!(exposition.len(), Some(3));
    }

    #[test]
    fn what_breaks_off_never_looks_whole() {
        let exposition = Exposition::default();
        exposition.push("a".into());
        exposition.end(None, Err(RenderError::BrokenOff));
        exposition.end(None, Ok(()));
        assert_eq!(poll(&exposition, 0), chunk("a"));
        let broken = Poll::Ready(Some(Err(RenderError::BrokenOff)));
        assert_eq!(poll(&exposition, 1), broken);
        assert_eq!(exposition.len(), None);
        assert!(!exposition.is_sound());
    }

    #[test]
    fn one_who_waits_is_woken_by_each_chunk_and_by_the_end() {
        #[derive(Default)]
        struct Count(std::sync::atomic::AtomicUsize);
        impl Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let count = std::sync::Arc::new(Count::default());
        let waker = Waker::from(std::sync::Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let exposition = Exposition::default();
        for (index, last) in [(0, false), (1, true)] {
            for _ in 0..3 {
                assert!(exposition.poll_chunk(index, &mut context).is_pending());
            }
            if last {
                exposition.end(None, Ok(()));
            } else {
                exposition.push("a".into());
            }
            assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), index + 1);
        }
    }

    #[test]
    fn a_small_one_is_whole_when_it_begins() {
        let exposition = Exposition::default();
        assert!(exposition.begun().now_or_never().is_none());
        exposition.end(Some("a".into()), Ok(()));
        assert_eq!(exposition.begun().now_or_never(), Some(Ok(())));
        assert_eq!(exposition.ended().now_or_never(), Some(Ok(())));
        assert_eq!(exposition.len(), Some(1));
    }
}
