//! [`Device`]: an open GPU device with its queue, kernel cache and autotuner.

mod adapter;
mod autotuner;
mod dispatch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};

pub use adapter::{Adapter, adapters, may_have_gpu};
use autotuner::Autotuner;
pub(crate) use dispatch::{Dispatch, DispatchUniform};

use crate::error::Error;

/// An open device and its queue. All models of a process share one per adapter ([`Device::shared`]).
#[derive(Debug)]
pub struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    adapter: Adapter,
    /// The reason, once the device is lost.
    lost: Arc<OnceLock<String>>,
    pub(crate) autotuner: Autotuner,
    /// Compiled pipelines by their WGSL source.
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
}

impl Device {
    /// Returns the process-wide device of an adapter, opening it if it is not open yet; see [`Adapter::select`] for `name`.
    ///
    /// # Errors
    /// Those of [`Device::open`].
    pub fn shared(name: Option<&str>) -> Result<Arc<Self>, Error> {
        static OPEN: Mutex<Vec<Weak<Device>>> = Mutex::new(Vec::new());
        let (wgpu_adapter, adapter) = adapter::request_adapter(name)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        // A lost device is never handed out again.
        open.retain(|device| device.upgrade().is_some_and(|device| device.check().is_ok()));
        if let Some(device) = open.iter().filter_map(Weak::upgrade).find(|device| device.adapter == adapter) {
            return Ok(device);
        }
        let device = Arc::new(Self::from_adapter(&wgpu_adapter, adapter)?);
        open.push(Arc::downgrade(&device));
        Ok(device)
    }

    /// Opens a new device; see [`Adapter::select`] for `name`.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if no adapter matches, [`Error::Open`] with the driver's message if the adapter cannot be opened.
    pub fn open(name: Option<&str>) -> Result<Self, Error> {
        let (wgpu_adapter, adapter) = adapter::request_adapter(name)?;
        Self::from_adapter(&wgpu_adapter, adapter)
    }

    fn from_adapter(wgpu_adapter: &wgpu::Adapter, adapter: Adapter) -> Result<Self, Error> {
        let cooperative_matrix = match adapter.usable_cooperative_matrix() {
            Some(_) => wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            None => wgpu::Features::empty(),
        };
        let optional = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        let description = wgpu::DeviceDescriptor {
            label: Some("ocelli"),
            required_features: wgpu_adapter.features() & optional | cooperative_matrix,
            // The adapter's own limits: the defaults are too small for the buffers of large models.
            required_limits: wgpu_adapter.limits(),
            experimental_features: match cooperative_matrix.is_empty() {
                true => wgpu::ExperimentalFeatures::disabled(),
                // SAFETY: the experimental feature is cooperative matrices. The kernels that use them stay within their workgroup
                // memory, with block sizes that the adapter reports as supported.
                false => unsafe { wgpu::ExperimentalFeatures::enabled() },
            },
            ..Default::default()
        };
        let opened = pollster::block_on(wgpu_adapter.request_device(&description));
        let (device, queue) =
            opened.map_err(|error| Error::Open { adapter: adapter.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(OnceLock::new());
        let on_lost = Arc::clone(&lost);
        device.set_device_lost_callback(move |_, reason| {
            let _ = on_lost.set(reason);
        });
        // Without a handler, wgpu panics.
        let on_error = Arc::clone(&lost);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let _ = on_error.set(error.to_string());
        }));
        let autotuner = Autotuner::new(&adapter);
        Ok(Self { device, queue, adapter, lost, autotuner, pipelines: Mutex::default() })
    }

    /// The adapter that the device was opened on.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Checks that the device is not lost.
    ///
    /// # Errors
    /// [`Error::Lost`] once the device is lost.
    pub fn check(&self) -> Result<(), Error> {
        match self.lost.get() {
            Some(reason) => Err(Error::Lost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Destroys the device, to test device loss.
    #[doc(hidden)]
    pub fn destroy(&self) {
        let _ = self.lost.set("it was destroyed".to_owned());
        self.device.destroy();
    }

    /// The largest size in bytes of a storage buffer that a kernel can bind.
    pub fn max_buffer_size(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// Creates a buffer of at least `bytes` bytes.
    pub(crate) fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        self.allocate(bytes, usage, false)
    }

    /// Creates a mapped upload buffer of at least `bytes` bytes.
    ///
    /// Used instead of `Queue::write_buffer`, whose internal staging buffer loses the device when memory runs out.
    pub(crate) fn staging_buffer(&self, bytes: u64) -> Result<wgpu::Buffer, Error> {
        self.allocate(bytes, wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC, true)
    }

    fn allocate(&self, bytes: u64, usage: wgpu::BufferUsages, is_mapped: bool) -> Result<wgpu::Buffer, Error> {
        let limit = self.max_buffer_size();
        // Kernels read vectors of four 32-bit elements.
        let size = bytes.checked_next_multiple_of(16).unwrap_or(u64::MAX).max(16);
        if size > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        let description = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: is_mapped };
        // Outside an error scope, wgpu reports out of memory as an uncaptured error.
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&description);
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(Error::OutOfMemory { bytes }),
        }
    }

    /// Uploads `bytes` bytes to a buffer, ordered before the next submission.
    pub(crate) fn upload(
        &self,
        bytes: usize,
        buffer: &wgpu::Buffer,
        write: impl FnOnce(&mut dyn FnMut(usize, &[u8])),
    ) -> Result<(), Error> {
        let size = bytes.next_multiple_of(4) as u64;
        let staging = self.staging_buffer(size)?;
        write_staging(&staging, write)?;
        let mut commands = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        commands.copy_buffer_to_buffer(&staging, 0, buffer, 0, size);
        self.queue.submit([commands.finish()]);
        Ok(())
    }

    /// Returns the cached pipeline of a WGSL source, compiling it on first use; `name` is its label.
    pub(crate) fn pipeline(&self, name: &str, source: &str) -> Result<wgpu::ComputePipeline, Error> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(source) {
            return Ok(pipeline.clone());
        }
        // A scope captures one kind of error; failures of the driver's compiler are internal errors.
        let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let description =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: the sources are this crate's own. They check their indices against the sizes of their buffers, which are planned
        // together with them, and their loops terminate: their bounds are constants, or validated row offsets.
        let module =
            unsafe { self.device.create_shader_module_trusted(description, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        // Scopes form a stack.
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
        if let Some(error) = errors.collect::<Vec<_>>().first() {
            return Err(Error::Kernel { kernel: name.to_owned(), reason: error.to_string() });
        }
        pipelines.insert(source.to_owned(), pipeline.clone());
        Ok(pipeline)
    }

    /// Blocks until a submission has completed.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        let waited = self.device.poll(wait);
        self.check()?;
        waited.map(|_| ()).map_err(|error| Error::Lost { reason: error.to_string() })
    }

    /// Blocks until `submission` has completed and `staging`, whose [`map`] returned `mapped`, is mapped; then reads and unmaps it.
    pub(crate) fn read_back<T>(
        &self,
        submission: wgpu::SubmissionIndex,
        staging: &wgpu::Buffer,
        mapped: &MapReceiver,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Error> {
        self.wait(submission)?;
        let lost = |reason: String| Error::Lost { reason };
        mapped.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
        let value = read(&view[..]);
        drop(view);
        staging.unmap();
        Ok(value)
    }
}

/// Fills a mapped upload buffer and unmaps it; `write` is called with a sink of `(offset, bytes)`.
pub(crate) fn write_staging(
    staging: &wgpu::Buffer,
    write: impl FnOnce(&mut dyn FnMut(usize, &[u8])),
) -> Result<(), Error> {
    let mut view = staging.get_mapped_range_mut(..).map_err(|error| Error::Lost { reason: error.to_string() })?;
    write(&mut |offset, bytes| view.slice(offset..offset + bytes.len()).copy_from_slice(bytes));
    drop(view);
    staging.unmap();
    Ok(())
}

/// Receives the result of a `map_async`.
pub(crate) type MapReceiver = mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Requests the mapping of a buffer, which completes once the device no longer uses it.
pub(crate) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> MapReceiver {
    let (sender, receiver) = mpsc::channel();
    buffer.map_async(mode, .., move |result| {
        // The receiver is gone if the run was dropped.
        let _ = sender.send(result);
    });
    receiver
}
