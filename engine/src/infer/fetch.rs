//! [`ImageFetcher`]: prefetches the images of a column of URIs from object stores.
//!
//! ```text
//!          get (64 concurrent)          reserve            read (64 concurrent)
//! URIs ─────────────────────▶ sizes ──────────────▶ sizes ───────────────────▶ images, in row order
//! ```
//!
//! Memory is reserved in row order, once the store has reported the size of an object, so that no row waits for memory that a later
//! row holds.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, RecordBatch, StringArray, StringBuilder,
};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{human_readable_size, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{GetResult, ObjectStoreExt};
use ocelli_udf::{ImageColumn, path_field};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reservation::{PartitionMemory, ReservationGuard};
use crate::error::Error;
use crate::runtime::WorkerPool;
use crate::storage::{ObjectStoreResolver, object_store_message};

/// The number of concurrent requests, and of concurrent reads, over all partitions.
const CONCURRENCY: usize = 64;
/// The prefetch window of a partition: the size of the images that are being read or wait for their rows to be returned.
const PREFETCH_KIB: u32 = 16 << 10;

/// Fetches the images of its input rows, ahead of their use as far as memory allows.
pub(super) struct ImageFetcher {
    input: SendableRecordBatchStream,
    spec: FetchSpec,
    /// The rows of the current batch that have not been returned.
    remaining: Option<RecordBatch>,
    /// The images of these rows.
    images: BoxStream<'static, Result<Vec<FetchResult>>>,
}

/// Rows with their fetched images.
pub(super) struct FetchedBatch {
    pub(super) rows: RecordBatch,
    /// The reservation of the images. `None` if a part of them is not reserved, because the pool was exhausted.
    pub(super) reservation: Option<ReservationGuard>,
}

/// The configuration of an [`ImageFetcher`].
#[derive(Clone)]
pub(super) struct FetchSpec {
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) memory: Arc<PartitionMemory>,
    pub(super) workers: Arc<WorkerPool>,
    /// The index of the column that names files: URIs, or `STRUCT<bytes, path>`.
    pub(super) column: usize,
    /// The index of the column with the selection mask; other rows are not fetched.
    pub(super) guard: Option<usize>,
    /// The maximum number of rows per returned batch.
    pub(super) max_rows: usize,
    /// The number of partitions that fetch concurrently.
    pub(super) partitions: usize,
    /// Whether memory is reserved before an image is read (back-pressure).
    pub(super) is_bounded: bool,
}

/// The bytes of a row's image or the reason of the failure. `None` if the row has no image, or is not selected.
type FetchResult = Option<(std::result::Result<Buffer, String>, FetchReservation)>;

/// The resources that an image holds until its row is returned.
#[derive(Default)]
struct FetchReservation {
    memory: Option<ReservationGuard>,
    /// A part of the prefetch window.
    _window: Option<OwnedSemaphorePermit>,
}

impl ImageFetcher {
    pub(super) fn new(input: SendableRecordBatchStream, spec: FetchSpec) -> Self {
        Self { input, spec, remaining: None, images: stream::empty().boxed() }
    }

    /// The next rows with two columns appended: the encoded images, and the reasons of failed fetches.
    ///
    /// Returns the rows whose images are ready; waiting for more could wait for the memory that these hold. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<FetchedBatch>> {
        loop {
            match (self.images.next().await, &self.remaining) {
                (Some(Ok(images)), Some(batch)) => {
                    let taken = images.len();
                    let rows = batch.slice(0, taken);
                    self.remaining = Some(batch.slice(taken, batch.num_rows() - taken));
                    return Some(append_image_columns(&rows, images));
                }
                (Some(Err(error)), _) => return Some(Err(error)),
                _ => {}
            }
            match self.input.next().await? {
                Ok(batch) => {
                    self.remaining = Some(batch);
                    self.release();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Drops the prefetched images. They are read again later.
    pub(super) fn release(&mut self) {
        if let Some(remaining) = &self.remaining {
            self.images = match self.spec.clone().read(remaining) {
                Ok(images) => images.boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            };
        }
    }
}

/// Where the bytes of an image are.
enum ImageSource {
    /// In a row of the column; of this length.
    Inline { column: ArrayRef, row: usize, length: usize },
    /// In an object store.
    Object(GetResult),
}

impl ImageSource {
    fn size(&self) -> u64 {
        match self {
            Self::Inline { length, .. } => *length as u64,
            Self::Object(object) => object.meta.size,
        }
    }
}

/// Whether a column of this type names image files: URIs, or `STRUCT<bytes, path>`.
pub(super) fn names_files(data_type: &DataType) -> bool {
    data_type.is_string() || path_field(data_type).is_some()
}

/// The URIs of a column.
fn path_column(column: &ArrayRef) -> &ArrayRef {
    path_field(column.data_type())
        .and_then(|field| column.as_struct_opt()?.column_by_name(field.name()))
        .unwrap_or(column)
}

/// The column with the fields of `STRUCT<bytes, path>` as plain arrays: reading a row of a dictionary needs the keys of all rows.
fn without_dictionaries(column: &ArrayRef) -> Result<ArrayRef> {
    let DataType::Struct(fields) = column.data_type() else { return Ok(Arc::clone(column)) };
    let plain = fields.iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, values) => field.as_ref().clone().with_data_type(values.as_ref().clone()),
        _ => field.as_ref().clone(),
    });
    Ok(cast(column, &DataType::Struct(plain.collect()))?)
}

/// The bytes of a row of `STRUCT<bytes, path>`.
fn inline_bytes(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        DataType::Struct(_) => ImageColumn::new(column)?.get(row),
        _ => None,
    }
}

impl FetchSpec {
    /// Streams the images of the rows in row order, in chunks of those that are ready.
    fn read(self, rows: &RecordBatch) -> Result<impl Stream<Item = Result<Vec<FetchResult>>> + Send + 'static> {
        let column = without_dictionaries(rows.column(self.column))?;
        let uris: StringArray = cast(path_column(&column), &DataType::Utf8)?.as_string::<i32>().clone();
        let mask: Option<BooleanArray> = self.guard.map(|guard| rows.column(guard).as_boolean().clone());
        let mut stores = ObjectStoreResolver::new(Arc::clone(&self.runtime));
        let opened = stream::iter(0..rows.num_rows()).map(move |row| {
            let is_selected = mask.as_ref().is_none_or(|mask| mask.is_valid(row) && mask.value(row));
            let inline = inline_bytes(&column, row).filter(|_| is_selected).map(|bytes| ImageSource::Inline {
                column: Arc::clone(&column),
                row,
                length: bytes.len(),
            });
            let has_uri = is_selected && column.is_valid(row) && uris.is_valid(row);
            let uri = has_uri.then(|| uris.value(row).to_owned());
            let location = uri.as_deref().filter(|_| inline.is_none()).map(|uri| stores.resolve(uri));
            async move {
                let source = match (inline, location) {
                    (Some(inline), _) => Ok(inline),
                    (None, None) => return None,
                    (None, Some(Ok((store, path)))) => {
                        spawn_io(async move { store.get(&path).await }).await.map(ImageSource::Object)
                    }
                    (None, Some(Err(reason))) => Err(reason),
                };
                let image = uri.map_or_else(|| format!("in row {} of its batch", row + 1), |uri| format!("'{uri}'"));
                Some((image, source))
            }
        });
        let max_rows = self.max_rows;
        let concurrency = CONCURRENCY.div_ceil(self.partitions);
        let (spec, window) = (Arc::new(self), Arc::new(Semaphore::new(PREFETCH_KIB as usize)));
        let sized = opened.buffered(concurrency).then(move |opened| {
            let (spec, window) = (Arc::clone(&spec), Arc::clone(&window));
            async move {
                Ok::<_, DataFusionError>(match opened {
                    Some((image, Ok(source))) => Some((spec.reserve(image, source.size(), window).await?, Ok(source))),
                    Some((_, Err(reason))) => Some((FetchReservation::default(), Err(reason))),
                    None => None,
                })
            }
        });
        let read = sized.map_ok(|image| async move {
            let Some((reservation, source)) = image else { return Ok(None) };
            let bytes = match source {
                Ok(ImageSource::Inline { column, row, .. }) => {
                    Ok(inline_bytes(&column, row).map(Buffer::from).unwrap_or_default())
                }
                Ok(ImageSource::Object(object)) => {
                    spawn_io(async move { object.bytes().await }).await.map(Buffer::from)
                }
                Err(reason) => Err(reason),
            };
            Ok(Some((bytes, reservation)))
        });
        Ok(read.try_buffered(concurrency).ready_chunks(max_rows).map(|images| images.into_iter().collect()))
    }

    /// Waits until there is memory to read an image of `size` bytes. `image` names it in messages.
    ///
    /// # Errors
    /// When the image is larger than the memory limit.
    async fn reserve(&self, image: String, size: u64, window: Arc<Semaphore>) -> Result<FetchReservation> {
        if !self.is_bounded {
            return Ok(FetchReservation::default());
        }
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        if let MemoryLimit::Finite(limit) = self.memory.limit()
            && bytes > limit
        {
            let needed = human_readable_size(bytes);
            return Err(Error::ImageExceedsMemoryLimit { image, needed, limit: self.memory.display_limit() }.into());
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(PREFETCH_KIB);
        // The semaphore is never closed.
        let permit = window.acquire_many_owned(kib).await.ok();
        loop {
            // Prefetching leaves half of the memory to what runs.
            let is_prefetch = self.memory.size() > 0;
            let may_reserve = !is_prefetch || self.memory.below_half_after(bytes);
            if let Some(memory) = may_reserve.then(|| ReservationGuard::try_reserve(&self.memory, bytes)).flatten() {
                return Ok(FetchReservation { memory: Some(memory), _window: permit });
            }
            if is_prefetch {
                // The micro-batches of this partition in flight release memory.
                self.memory.wait_for_release().await;
            } else if self.workers.is_busy() {
                self.workers.wait_for_completion().await;
            } else {
                // Nothing runs that could release memory. The dispatch reports an image that is too large.
                return Ok(FetchReservation { memory: None, _window: permit });
            }
        }
    }
}

/// Fetches the images of a batch with a single column that names files, for scalar evaluation. Blocks this thread.
pub(super) fn fetch_blocking(
    rows: &RecordBatch,
    runtime: &Arc<RuntimeEnv>,
    workers: &Arc<WorkerPool>,
) -> Result<RecordBatch> {
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let memory = PartitionMemory::new(MemoryConsumer::new("ImageFetcher").register(&pool), pool);
    let (runtime, workers) = (Arc::clone(runtime), Arc::clone(workers));
    let spec = FetchSpec {
        runtime,
        memory,
        workers,
        column: 0,
        guard: None,
        max_rows: rows.num_rows().max(1),
        partitions: 1,
        is_bounded: false,
    };
    let read = || -> Result<Vec<Vec<FetchResult>>> {
        // A separate runtime: that of the caller may have this thread only.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(spec.read(rows)?.try_collect())
    };
    let images = std::thread::scope(|scope| scope.spawn(read).join());
    let images = images.unwrap_or_else(|_| internal_err!("reading images panicked"))?;
    Ok(append_image_columns(rows, images.into_iter().flatten().collect())?.rows)
}

/// Spawns I/O on the runtime, so that it makes progress without being polled. Dropping the future aborts it.
async fn spawn_io<T: Send + 'static>(
    work: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> std::result::Result<T, String> {
    match SpawnedTask::spawn(work).join().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(object_store_message(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// Appends the columns `__image` and `__fetch_error` to the rows.
fn append_image_columns(rows: &RecordBatch, images: Vec<FetchResult>) -> Result<FetchedBatch> {
    let (mut bytes, mut reasons) = (BinaryViewBuilder::new(), StringBuilder::new());
    let mut total: Option<ReservationGuard> = None;
    let mut all_reserved = true;
    for image in images {
        match image {
            Some((Ok(buffer), reservation)) => {
                // The length in a view has 32 bits.
                let Ok(length) = u32::try_from(buffer.len()) else {
                    bytes.append_null();
                    reasons.append_value(format!("it has {} bytes, more than the limit of 4 GiB", buffer.len()));
                    continue;
                };
                let block = bytes.append_block(buffer);
                bytes.try_append_view(block, 0, length)?;
                reasons.append_null();
                all_reserved &= reservation.memory.is_some();
                match (&mut total, reservation.memory) {
                    (Some(total), Some(memory)) => total.merge(memory),
                    (total, memory) => *total = total.take().or(memory),
                }
            }
            Some((Err(reason), _)) => {
                bytes.append_null();
                reasons.append_value(reason);
            }
            None => {
                bytes.append_null();
                reasons.append_null();
            }
        }
    }
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("__image", DataType::BinaryView, true)));
    fields.push(Arc::new(Field::new("__fetch_error", DataType::Utf8, true)));
    let appended: [ArrayRef; 2] = [Arc::new(bytes.finish()), Arc::new(reasons.finish())];
    let columns = rows.columns().iter().cloned().chain(appended).collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(FetchedBatch { rows, reservation: if all_reserved { total } else { None } })
}
