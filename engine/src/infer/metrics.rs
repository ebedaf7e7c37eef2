//! [`InferMetrics`]: the metrics of a partition, for EXPLAIN ANALYZE and progress.

use std::time::Instant;

use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, Gauge, MetricBuilder, Time};

/// The times of the stages of an [`ImagePipeline`](super::compute::ImagePipeline).
#[derive(Debug, Clone)]
pub(crate) struct ComputeTimes {
    pub(crate) decode: Time,
    pub(crate) model: Time,
    /// From entering the queue of a device to the results.
    pub(crate) queue: Time,
}

/// `images_in = images_run + images_reused + images_failed`.
#[derive(Debug, Clone)]
pub(super) struct InferMetrics {
    pub(super) baseline: BaselineMetrics,
    /// Selected rows with an image.
    pub(super) images_in: Count,
    /// Images that the model ran on.
    pub(super) images_run: Count,
    /// Rows that reused the prediction of an identical image.
    pub(super) images_reused: Count,
    /// Rows with an invalid image.
    pub(super) images_failed: Count,
    /// Encoded bytes of the images.
    pub(super) bytes_fetched: Count,
    /// Time spent waiting for the input, including fetches.
    pub(super) fetch_time: Time,
    /// Times on the workers and on the device.
    pub(super) times: ComputeTimes,
    /// Time spent waiting for the oldest micro-batch in flight.
    pub(super) wait_time: Time,
    /// The peak of the reserved memory, in bytes.
    pub(super) peak_bytes: Gauge,
    images_per_second: Gauge,
    start: Instant,
}

impl InferMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        let time = |name| MetricBuilder::new(metrics).subset_time(name, partition);
        let gauge = |name| MetricBuilder::new(metrics).gauge(name, partition);
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            images_in: counter("images_in"),
            images_run: counter("images_run"),
            images_reused: counter("images_reused"),
            images_failed: counter("images_failed"),
            bytes_fetched: counter("bytes_fetched"),
            fetch_time: time("fetch_time"),
            times: ComputeTimes { decode: time("decode_time"), model: time("model_time"), queue: time("queue_time") },
            wait_time: time("wait_time"),
            peak_bytes: gauge("peak_bytes"),
            images_per_second: gauge("images_per_second"),
            start: Instant::now(),
        }
    }

    /// Records the throughput so far.
    pub(super) fn record_throughput(&self) {
        let throughput = self.images_in.value() as f64 / self.start.elapsed().as_secs_f64().max(f64::EPSILON);
        self.images_per_second.set(throughput as usize);
    }
}
