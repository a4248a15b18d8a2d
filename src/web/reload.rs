//! How the web server asks for the configuration to be loaded anew.

use tokio::sync::{mpsc, oneshot};

/// Asks for a reload. Whoever holds the other end loads.
#[derive(Debug, Clone)]
pub struct Reload(mpsc::Sender<Asked>);

/// Who asked, and waits to hear what became of it: nothing, or in one line why the running
/// configuration stays.
pub type Asked = oneshot::Sender<Result<(), String>>;

impl Reload {
    /// The end that asks and the end that is asked.
    pub fn channel() -> (Self, mpsc::Receiver<Asked>) {
        // One reload does for all who asked before it began, so there is nothing to queue for.
        let (ask, asked) = mpsc::channel(1);
        (Self(ask), asked)
    }

    /// Asks, and waits until the configuration was loaded.
    ///
    /// # Errors
    /// In one line, why the running configuration stays.
    pub async fn ask(&self) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let ended = |()| "the exporter is stopping".to_owned();
        self.0.send(answer).await.map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?
    }
}
