//! [`Device`]: an opened adapter.

mod adapter;
mod autotuner;
mod dispatch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};

pub use adapter::{Adapter, adapters, may_have_gpu};
use autotuner::Tuner;
pub(crate) use dispatch::{Dispatch, Size};

use crate::error::Error;

/// An opened adapter and its queue. All models of a process share one ([`Device::shared`]).
#[derive(Debug)]
pub struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    adapter: Adapter,
    /// Why nothing can be expected of it any more.
    failed: Arc<OnceLock<String>>,
    pub(crate) tuner: Tuner,
    /// Compiled kernels by their sources.
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
}

impl Device {
    /// The device for an adapter, opened unless somebody in this process has it open.
    ///
    /// # Errors
    /// Those of [`Device::open`].
    pub fn shared(name: Option<&str>) -> Result<Arc<Self>, Error> {
        static OPEN: Mutex<Vec<Weak<Device>>> = Mutex::new(Vec::new());
        let (adapter, known) = adapter::find(name)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was lost is for those who still have it.
        open.retain(|device| device.upgrade().is_some_and(|device| device.check().is_ok()));
        if let Some(device) = open.iter().filter_map(Weak::upgrade).find(|device| device.adapter == known) {
            return Ok(device);
        }
        let device = Arc::new(Self::of(&adapter, known)?);
        open.push(Arc::downgrade(&device));
        Ok(device)
    }

    /// Opens the first real GPU, or the adapter whose name contains `name`, whatever the case of its letters.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] lists the adapters that there are, [`Error::Open`] has the driver's words.
    pub fn open(name: Option<&str>) -> Result<Self, Error> {
        let (adapter, known) = adapter::find(name)?;
        Self::of(&adapter, known)
    }

    fn of(adapter: &wgpu::Adapter, known: Adapter) -> Result<Self, Error> {
        let units = match known.units() {
            Some(_) => wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            None => wgpu::Features::empty(),
        };
        let useful = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        let description = wgpu::DeviceDescriptor {
            label: Some("ocelli"),
            required_features: adapter.features() & useful | units,
            // All that the card has: models are large.
            required_limits: adapter.limits(),
            experimental_features: match units.is_empty() {
                true => wgpu::ExperimentalFeatures::disabled(),
                // SAFETY: what is experimental are cooperative matrices; the kernels that use them stay in the bounds of their
                // workgroup memory, for blocks of a size that the adapter has said to have.
                false => unsafe { wgpu::ExperimentalFeatures::enabled() },
            },
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&description));
        let (device, queue) =
            opened.map_err(|error| Error::Open { adapter: known.name.clone(), reason: error.to_string() })?;
        let failed = Arc::new(OnceLock::new());
        let lost = Arc::clone(&failed);
        device.set_device_lost_callback(move |_, reason| {
            let _ = lost.set(reason);
        });
        // Without a handler, wgpu panics.
        let wrong = Arc::clone(&failed);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let _ = wrong.set(error.to_string());
        }));
        let tuner = Tuner::new(&known);
        Ok(Self { device, queue, adapter: known, failed, tuner, pipelines: Mutex::default() })
    }

    /// What the driver says of it.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Whether it still works.
    ///
    /// # Errors
    /// [`Error::Lost`] since it has stopped.
    pub fn check(&self) -> Result<(), Error> {
        match self.failed.get() {
            Some(reason) => Err(Error::Lost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Makes it as good as lost, for tests of what happens then.
    #[doc(hidden)]
    pub fn destroy(&self) {
        let _ = self.failed.set("it was destroyed".to_owned());
        self.device.destroy();
    }

    /// The most bytes of one buffer that a kernel can read.
    pub fn largest_buffer(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// A buffer of at least so many bytes.
    pub(crate) fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        self.allocate(bytes, usage, false)
    }

    /// A buffer of at least so many bytes that the device copies from, to be written now.
    ///
    /// Not `Queue::write_buffer`: full memory there loses the device.
    pub(crate) fn writable(&self, bytes: u64) -> Result<wgpu::Buffer, Error> {
        self.allocate(bytes, wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC, true)
    }

    fn allocate(&self, bytes: u64, usage: wgpu::BufferUsages, is_mapped: bool) -> Result<wgpu::Buffer, Error> {
        let limit = self.largest_buffer();
        // Four numbers are read at once.
        let size = bytes.checked_next_multiple_of(16).unwrap_or(u64::MAX).max(16);
        if size > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        let description = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: is_mapped };
        // Without a scope, wgpu answers to full memory as to a mistake.
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&description);
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(Error::OutOfMemory { bytes }),
        }
    }

    /// Copies bytes to a buffer, before what is submitted next.
    pub(crate) fn upload(
        &self,
        bytes: usize,
        buffer: &wgpu::Buffer,
        write: impl FnOnce(&mut dyn FnMut(usize, &[u8])),
    ) -> Result<(), Error> {
        let size = bytes.next_multiple_of(4) as u64;
        let staging = self.writable(size)?;
        fill(&staging, write)?;
        let mut commands = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        commands.copy_buffer_to_buffer(&staging, 0, buffer, 0, size);
        self.queue.submit([commands.finish()]);
        Ok(())
    }

    /// The compiled kernel of a source; `name` is for messages.
    pub(crate) fn pipeline(&self, name: &str, source: &str) -> Result<wgpu::ComputePipeline, Error> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(source) {
            return Ok(pipeline.clone());
        }
        // A scope a kind: what its compiler cannot do is one of wgpu's own.
        let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let description =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: the sources are this crate's own. They compare what they read and write with the sizes of their buffers, which
        // are planned together with them, and their loops end: at constants, or at row offsets that were checked.
        let module =
            unsafe { self.device.create_shader_module_trusted(description, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        // The last one is popped first.
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
        if let Some(error) = errors.collect::<Vec<_>>().first() {
            return Err(Error::Kernel { kernel: name.to_owned(), reason: error.to_string() });
        }
        pipelines.insert(source.to_owned(), pipeline.clone());
        Ok(pipeline)
    }

    /// Waits for what was submitted.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        let waited = self.device.poll(wait);
        self.check()?;
        waited.map(|_| ()).map_err(|error| Error::Lost { reason: error.to_string() })
    }
}

/// Writes a buffer that is mapped, by parts and where they begin, and gives it to the device.
pub(crate) fn fill(staging: &wgpu::Buffer, write: impl FnOnce(&mut dyn FnMut(usize, &[u8]))) -> Result<(), Error> {
    let mut view = staging.get_mapped_range_mut(..).map_err(|error| Error::Lost { reason: error.to_string() })?;
    write(&mut |place, part| view.slice(place..place + part.len()).copy_from_slice(part));
    drop(view);
    staging.unmap();
    Ok(())
}

/// Told when a buffer is mapped.
pub(crate) type Mapped = mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Asks for a buffer to be mapped once the device is done with it.
pub(crate) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapped {
    let (sender, mapped) = mpsc::channel();
    buffer.map_async(mode, .., move |result| {
        // Whoever dropped the run does not want to know.
        let _ = sender.send(result);
    });
    mapped
}
