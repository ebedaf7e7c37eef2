//! [`ErrorBudget`]: the limit on the ratio of invalid images in a query, over all partitions.

use std::sync::{Mutex, PoisonError};

use datafusion::error::Result;

use crate::error::Error;

/// Counts images over all partitions. The last partition to end fails if more than `ocelli.max_error_ratio` of them are invalid.
///
/// The ratio is not checked if a stream is dropped early, for example by a LIMIT.
#[derive(Debug)]
pub(super) struct ErrorBudget {
    partitions: usize,
    /// From 0 to 1; 1 means no limit.
    max_ratio: f64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    started: usize,
    ended: usize,
    images: usize,
    failed: usize,
    /// The first failures by partition and row, with their labels and reasons.
    first: Vec<((usize, usize), String)>,
}

/// The number of failures that the message names.
const REPORTED_FAILURES: usize = 3;

impl ErrorBudget {
    pub(super) fn new(partitions: usize, max_ratio: f64) -> Self {
        Self { partitions, max_ratio, counts: Mutex::default() }
    }

    /// The number of partitions of the operator.
    pub(super) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Records the start of a partition. The first one of an execution resets the counts.
    pub(super) fn start(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.started == self.partitions {
            *counts = Counts::default();
        }
        counts.started += 1;
    }

    /// Adds `images` images of a partition, and its failures by row.
    pub(super) fn count(&self, partition: usize, images: usize, failures: Vec<(usize, String)>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.images += images;
        counts.failed += failures.len();
        counts.first.extend(failures.into_iter().map(|(row, reason)| ((partition, row), reason)));
        counts.first.sort();
        counts.first.truncate(REPORTED_FAILURES);
    }

    /// Whether the ratio is limited, so that the reasons of failures are needed.
    pub(super) fn has_limit(&self) -> bool {
        self.max_ratio < 1.0
    }

    /// Records the end of a partition.
    ///
    /// # Errors
    /// When it is the last one, and too many images are invalid.
    pub(super) fn end(&self) -> Result<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.ended += 1;
        let (images, failed) = (counts.images, counts.failed);
        if counts.ended < self.partitions || failed == 0 || failed as f64 / images as f64 <= self.max_ratio {
            return Ok(());
        }
        let first: Vec<&str> = counts.first.iter().map(|(_, failure)| failure.as_str()).collect();
        Err(Error::ErrorRatioExceeded { failed, images, max_ratio: self.max_ratio, first: first.join("; ") }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(row: usize) -> Vec<(usize, String)> {
        vec![(row, format!("row {row}"))]
    }

    #[test]
    fn the_last_partition_checks_the_ratio() {
        let budget = ErrorBudget::new(2, 0.29);
        budget.start();
        budget.start();
        budget.count(1, 50, (0..29).flat_map(failure).collect());
        budget.count(0, 50, Vec::new());
        assert!(budget.end().is_ok());
        assert!(budget.end().is_ok(), "29 of 100 do not exceed 0.29");
    }

    #[test]
    fn the_first_failures_are_named_and_a_new_execution_resets_the_counts() {
        let budget = ErrorBudget::new(1, 0.5);
        budget.start();
        budget.count(0, 4, [9, 2, 7, 5].into_iter().flat_map(failure).collect());
        let error = budget.end().unwrap_err().to_string();
        assert!(error.ends_with("4 of 4 images cannot be decoded, more than ocelli.max_error_ratio = 0.5 allows; the first are row 2; row 5; row 7"), "{error}");
        budget.start();
        budget.count(0, 4, failure(0));
        assert!(budget.end().is_ok());
    }
}
