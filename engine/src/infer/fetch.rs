//! [`Fetch`]: the images that a column of URIs names, read from their object stores.
//!
//! ```text
//!            get (64 at once)           reserve             read (64 at once)
//! URIs ─────────────────────▶ sizes ──────────────▶ sizes ───────────────────▶ images, in the order of the rows
//! ```
//!
//! Memory is asked for in the order of the rows, when the store has said how much it takes: a row never waits for what a
//! later one holds.

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
use object_store::ObjectStoreExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reservation::{Held, Memory};
use crate::error::Error;
use crate::runtime::WorkerPool;
use crate::storage::{ObjectStoreResolver, object_store_message};

/// Objects that are asked for at the same time, and that are read, over all partitions.
const CONCURRENCY: usize = 64;
/// Of images that are being read, or wait for their turn.
const AHEAD_KIB: u32 = 16 << 10;

/// Reads the images of its input's rows, as far ahead as memory allows.
pub(super) struct Fetch {
    input: SendableRecordBatchStream,
    uris: Uris,
    /// The rows that have not been handed on.
    rest: Option<RecordBatch>,
    /// Their images.
    images: BoxStream<'static, Result<Vec<Image>>>,
}

/// Rows whose images are there.
pub(super) struct Fetched {
    pub(super) rows: RecordBatch,
    /// The memory of the images, unless the pool had none left.
    pub(super) held: Option<Held>,
}

/// Where the images are, and what reading them takes.
#[derive(Clone)]
pub(super) struct Uris {
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) memory: Arc<Memory>,
    pub(super) workers: Arc<WorkerPool>,
    /// The number of the column of URIs.
    pub(super) column: usize,
    /// The number of the column that says which images are wanted.
    pub(super) guard: Option<usize>,
    /// Rows that are handed on together, at most.
    pub(super) rows: usize,
    /// That read at the same time.
    pub(super) partitions: usize,
    /// Whether what is read counts, and waits for those before it to be handed on.
    pub(super) is_bounded: bool,
}

/// What came of a row: none for one that wants no image.
type Image = Option<(std::result::Result<Buffer, String>, Room)>;

/// What an image takes until its rows are handed on.
#[derive(Default)]
struct Room {
    held: Option<Held>,
    _ahead: Option<OwnedSemaphorePermit>,
}

impl Fetch {
    pub(super) fn new(input: SendableRecordBatchStream, uris: Uris) -> Self {
        Self { input, uris, rest: None, images: stream::empty().boxed() }
    }

    /// The next rows, with two columns more: the bytes of each image, and why there are none.
    ///
    /// As many rows as have their images: to wait for more would be to wait for the memory that these hold. A future that is
    /// dropped loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Fetched>> {
        loop {
            match (self.images.next().await, &self.rest) {
                (Some(Ok(images)), Some(batch)) => {
                    let taken = images.len();
                    let rows = batch.slice(0, taken);
                    self.rest = Some(batch.slice(taken, batch.num_rows() - taken));
                    return Some(with_images(&rows, images));
                }
                (Some(Err(error)), _) => return Some(Err(error)),
                _ => {}
            }
            match self.input.next().await? {
                Ok(batch) => {
                    self.rest = Some(batch);
                    self.release();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Gives up what was read ahead; it will be read again.
    pub(super) fn release(&mut self) {
        if let Some(rest) = &self.rest {
            self.images = match self.uris.clone().read(rest) {
                Ok(images) => images.boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            };
        }
    }
}

impl Uris {
    /// The images of some rows, in their order.
    fn read(self, rows: &RecordBatch) -> Result<impl Stream<Item = Result<Vec<Image>>> + Send + 'static> {
        let uris: StringArray = cast(rows.column(self.column), &DataType::Utf8)?.as_string::<i32>().clone();
        let wanted: Option<BooleanArray> = self.guard.map(|guard| rows.column(guard).as_boolean().clone());
        let mut stores = ObjectStoreResolver::new(Arc::clone(&self.runtime));
        let asked = stream::iter(0..rows.num_rows()).map(move |row| {
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.is_valid(row) && wanted.value(row));
            let uri = (is_wanted && uris.is_valid(row)).then(|| uris.value(row).to_owned());
            let found = uri.as_deref().map(|uri| stores.resolve(uri));
            async move {
                let object = match found? {
                    Ok((store, path)) => spawned(async move { store.get(&path).await }).await,
                    Err(reason) => Err(reason),
                };
                Some((uri?, object))
            }
        });
        let chunk = self.rows;
        let concurrency = CONCURRENCY.div_ceil(self.partitions);
        let (uris, ahead) = (Arc::new(self), Arc::new(Semaphore::new(AHEAD_KIB as usize)));
        let sized = asked.buffered(concurrency).then(move |answer| {
            let (uris, ahead) = (Arc::clone(&uris), Arc::clone(&ahead));
            async move {
                Ok::<_, DataFusionError>(match answer {
                    Some((uri, Ok(object))) => Some((uris.room(&uri, object.meta.size, ahead).await?, Ok(object))),
                    Some((_, Err(reason))) => Some((Room::default(), Err(reason))),
                    None => None,
                })
            }
        });
        let read = sized.map_ok(|image| async move {
            let Some((room, object)) = image else { return Ok(None) };
            let bytes = match object {
                Ok(object) => spawned(async move { object.bytes().await }).await.map(Buffer::from),
                Err(reason) => Err(reason),
            };
            Ok(Some((bytes, room)))
        });
        Ok(read.try_buffered(concurrency).ready_chunks(chunk).map(|images| images.into_iter().collect()))
    }

    /// Waits until there is memory for an image that is not read yet.
    async fn room(&self, uri: &str, size: u64, ahead: Arc<Semaphore>) -> Result<Room> {
        if !self.is_bounded {
            return Ok(Room::default());
        }
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        if let MemoryLimit::Finite(limit) = self.memory.limit()
            && bytes > limit
        {
            let (place, needed) = (format!("'{uri}'"), human_readable_size(bytes));
            return Err(
                Error::ImageExceedsMemoryLimit { image: place, needed, limit: self.memory.shown_limit() }.into()
            );
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(AHEAD_KIB);
        // The semaphore is never closed.
        let ahead = ahead.acquire_many_owned(kib).await.ok();
        loop {
            // What is read ahead leaves half of the memory to those who have something to run.
            let is_ahead = self.memory.size() > 0;
            let has_room = !is_ahead || self.memory.leaves_half(bytes);
            if let Some(held) = has_room.then(|| Held::take(&self.memory, bytes)).flatten() {
                return Ok(Room { held: Some(held), _ahead: ahead });
            }
            if is_ahead {
                // What this partition has under way gives some back.
                self.memory.given_back().await;
            } else if self.workers.is_busy() {
                self.workers.wait_for_completion().await;
            } else {
                // Whoever runs it has the words for an image that is too large.
                return Ok(Room { held: None, _ahead: ahead });
            }
        }
    }
}

/// The rows of one column of URIs with what was read, for a call that is computed in its expression: this thread waits.
pub(super) fn fetch_now(
    rows: &RecordBatch,
    runtime: &Arc<RuntimeEnv>,
    workers: &Arc<WorkerPool>,
) -> Result<RecordBatch> {
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let memory = Memory::new(MemoryConsumer::new("images of URIs").register(&pool), pool);
    let (runtime, workers) = (Arc::clone(runtime), Arc::clone(workers));
    let uris = Uris {
        runtime,
        memory,
        workers,
        column: 0,
        guard: None,
        rows: rows.num_rows().max(1),
        partitions: 1,
        is_bounded: false,
    };
    let read = || -> Result<Vec<Vec<Image>>> {
        // One of its own: the caller's may have this thread alone.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(uris.read(rows)?.try_collect())
    };
    let images = std::thread::scope(|scope| scope.spawn(read).join());
    let images = images.unwrap_or_else(|_| internal_err!("reading images panicked"))?;
    Ok(with_images(rows, images.into_iter().flatten().collect())?.rows)
}

/// On the runtime, so that it goes on while nobody looks; stopped when it is dropped.
async fn spawned<T: Send + 'static>(
    work: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> std::result::Result<T, String> {
    match SpawnedTask::spawn(work).join().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(object_store_message(&error)),
        Err(stopped) => Err(stopped.to_string()),
    }
}

/// The rows with what was read behind their columns.
fn with_images(rows: &RecordBatch, images: Vec<Image>) -> Result<Fetched> {
    let (mut bytes, mut reasons) = (BinaryViewBuilder::new(), StringBuilder::new());
    let mut all: Option<Held> = None;
    let mut are_held = true;
    for image in images {
        match image {
            Some((Ok(buffer), room)) => {
                // A view counts in 32 bits.
                let Ok(length) = u32::try_from(buffer.len()) else {
                    bytes.append_null();
                    reasons.append_value(format!("it has {} bytes", buffer.len()));
                    continue;
                };
                let block = bytes.append_block(buffer);
                bytes.try_append_view(block, 0, length)?;
                reasons.append_null();
                are_held &= room.held.is_some();
                match (&mut all, room.held) {
                    (Some(all), Some(held)) => all.join(held),
                    (all, held) => *all = all.take().or(held),
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
    fields.push(Arc::new(Field::new("__unreadable", DataType::Utf8, true)));
    let more: [ArrayRef; 2] = [Arc::new(bytes.finish()), Arc::new(reasons.finish())];
    let columns = rows.columns().iter().cloned().chain(more).collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(Fetched { rows, held: if are_held { all } else { None } })
}
