//! [`ErrorBudget`]: how many images of a query may be bad, over all its partitions.

use std::sync::{Mutex, PoisonError};

use datafusion::error::Result;

use crate::error::Error;

/// Counts images of all partitions; the last one to end is told whether too many were bad (`ocelli.max_error_ratio`).
///
/// A stream that is dropped before its end, by a LIMIT for instance, is not judged.
#[derive(Debug)]
pub(super) struct ErrorBudget {
    partitions: usize,
    /// From 0 to 1; 1 is no limit.
    max_ratio: f64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    started: usize,
    ended: usize,
    images: usize,
    failed: usize,
    /// The first bad images by partition and row, with their reasons.
    first: Vec<((usize, usize), String)>,
}

/// How many bad images a message names.
const NAMED: usize = 3;

impl ErrorBudget {
    pub(super) fn new(partitions: usize, max_ratio: f64) -> Self {
        Self { partitions, max_ratio, counts: Mutex::default() }
    }

    /// Of the plan.
    pub(super) fn partitions(&self) -> usize {
        self.partitions
    }

    /// A partition starts. The first one of an execution forgets what came before.
    pub(super) fn start(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.started == self.partitions {
            *counts = Counts::default();
        }
        counts.started += 1;
    }

    /// So many images were looked at, and these rows of a partition were bad.
    pub(super) fn count(&self, partition: usize, images: usize, bad: Vec<(usize, String)>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.images += images;
        counts.failed += bad.len();
        counts.first.extend(bad.into_iter().map(|(row, reason)| ((partition, row), reason)));
        counts.first.sort();
        counts.first.truncate(NAMED);
    }

    /// Whether reasons are wanted.
    pub(super) fn has_limit(&self) -> bool {
        self.max_ratio < 1.0
    }

    /// A partition is at its end.
    ///
    /// # Errors
    /// When it was the last one, and too many images were bad.
    pub(super) fn end(&self) -> Result<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.ended += 1;
        let (images, failed) = (counts.images, counts.failed);
        if counts.ended < self.partitions || failed == 0 || failed as f64 / images as f64 <= self.max_ratio {
            return Ok(());
        }
        let first: Vec<&str> = counts.first.iter().map(|(_, bad)| bad.as_str()).collect();
        Err(Error::ErrorRatioExceeded { failed, images, max_ratio: self.max_ratio, first: first.join("; ") }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(row: usize) -> Vec<(usize, String)> {
        vec![(row, format!("row {row}"))]
    }

    #[test]
    fn the_last_partition_is_told() {
        let budget = ErrorBudget::new(2, 0.29);
        budget.start();
        budget.start();
        budget.count(1, 50, (0..29).flat_map(bad).collect());
        budget.count(0, 50, Vec::new());
        assert!(budget.end().is_ok());
        assert!(budget.end().is_ok(), "29 of 100 are not more than 0.29");
    }

    #[test]
    fn the_first_are_named_and_a_new_execution_counts_anew() {
        let budget = ErrorBudget::new(1, 0.5);
        budget.start();
        budget.count(0, 4, [9, 2, 7, 5].into_iter().flat_map(bad).collect());
        let error = budget.end().unwrap_err().to_string();
        assert!(error.ends_with("4 of 4 images cannot be decoded, more than ocelli.max_error_ratio = 0.5 allows; the first are row 2; row 5; row 7"), "{error}");
        budget.start();
        budget.count(0, 4, bad(0));
        assert!(budget.end().is_ok());
    }
}
