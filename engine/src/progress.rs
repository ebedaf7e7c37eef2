//! [`Progress`]: how far a query is, for whoever waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How far a query is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that are done: those that a model has looked at where there is one, and those that were read elsewhere.
    pub rows: usize,
    /// All rows that there are, when that is known before. A LIMIT may leave some of them out.
    pub total: Option<usize>,
    /// Rows with a bad image.
    pub bad: usize,
    /// Since the query started.
    pub elapsed: Duration,
    /// Whether this is the last report: the query has ended, or nobody wants its rows any more.
    pub is_finished: bool,
}

impl Progress {
    /// Rows a second, from the start.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// From 0 to 1, when the total is known.
    pub fn share(&self) -> Option<f64> {
        let total = self.total?;
        Some(if total == 0 { 1.0 } else { (self.rows as f64 / total as f64).min(1.0) })
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct OnProgress(Arc<dyn Fn(&Progress) + Send + Sync>);

impl OnProgress {
    pub(crate) fn new(report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    pub(crate) fn report(&self, progress: &Progress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(rows: usize, total: Option<usize>) -> Progress {
        Progress { rows, total, bad: 0, elapsed: Duration::from_secs(2), is_finished: false }
    }

    #[test]
    fn rates_and_shares() {
        assert_eq!((progress(10, Some(40)).rate(), progress(10, Some(40)).share()), (5.0, Some(0.25)));
        assert_eq!(progress(0, Some(0)).share(), Some(1.0));
        assert_eq!(progress(5, None).share(), None);
    }
}
