//! A progress bar on standard error while users are read.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::source::Progress;

/// A bar that is drawn on a terminal only.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar that shows at once, if it is `wanted` and standard error is a terminal.
    pub(super) fn new(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} Asking AWS {elapsed}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// The handle that tells the bar how far the source is.
    pub(super) fn progress(&self) -> Progress {
        let Some(bar) = self.0.clone() else {
            return Progress::default();
        };
        Progress::told_to(move |read, found| {
            if bar.length().is_none() {
                bar.set_style(style(
                    "{spinner} Reading users: {pos} of {len} [{bar:20}] {elapsed}",
                ));
            }
            bar.set_length(found as u64);
            bar.set_position(read as u64);
        })
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants")
        .progress_chars("=> ")
}
