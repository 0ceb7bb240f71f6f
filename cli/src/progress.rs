//! A progress bar for long recordings, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

use crate::audio::{Block, Source};

/// Recordings shorter than this are done before a bar could be read.
const LONG_SECONDS: u64 = 300;

/// Shows how much of a recording has been heard.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar for `source`, if it is long. `indicatif` draws on standard error, and only if that is a terminal.
    pub(crate) fn new(source: &Source, live: bool) -> Self {
        let rate = u64::from(source.format().rate.hz());
        let long = source
            .declared_len()
            .filter(|len| *len > LONG_SECONDS * rate && !live);
        Self(long.map(|len| {
            let bar = ProgressBar::new(len);
            if let Ok(style) =
                ProgressStyle::with_template("{msg} {bar:40} {percent:>3} %  {eta} left")
            {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_message(source.name().to_string());
            bar
        }))
    }

    /// A block more.
    pub(crate) fn advance(&self, block: Block<'_>) {
        if let Some(bar) = &self.0 {
            bar.inc((block.samples.len() / usize::from(block.format.channels)) as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
