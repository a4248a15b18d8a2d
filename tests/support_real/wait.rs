//! Waiting for a condition, never for a while.

use std::time::{Duration, Instant, SystemTime};

/// How long anything may take to come true: far more than it needs, for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok`, and fails the test with the last refusal when [`PATIENCE`] is at its end.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(refusal) if Instant::now() > deadline => {
                panic!("waited {PATIENCE:?} for {what}; at last: {refusal}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The machine's clock, in seconds since the epoch: what the exporter, moto and Prometheus go by too.
pub(crate) fn now() -> f64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parts under test are processes with the machine's clock"
    )]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs_f64()
}
