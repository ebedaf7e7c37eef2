//! [`Device`]: an opened adapter.

use std::sync::mpsc;

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::buffer::Buffer;
use crate::error::Error;

/// An opened adapter and its queue. Made once a process: opening takes a tenth of a second.
#[derive(Debug)]
pub struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
}

impl Device {
    /// Opens the first real GPU, or the adapter whose name contains `name`, whatever the case of its letters.
    ///
    /// An adapter that computes on the CPU, such as Mesa's llvmpipe, is opened only by its name: nobody who asks for a GPU
    /// means that.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] lists the adapters that there are.
    pub fn open(name: Option<&str>) -> Result<Self, Error> {
        let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
        instance.backends = wgpu::Backends::PRIMARY;
        let adapters = pollster::block_on(wgpu::Instance::new(instance).enumerate_adapters(wgpu::Backends::PRIMARY));
        let wanted = name.map(str::to_lowercase);
        let fits = |adapter: &&wgpu::Adapter| {
            let info = adapter.get_info();
            match &wanted {
                Some(name) => info.name.to_lowercase().contains(name),
                None => info.device_type != wgpu::DeviceType::Cpu,
            }
        };
        let Some(adapter) = adapters.iter().find(fits) else {
            return Err(Error::NoAdapter {
                wanted: name.map_or_else(|| "real GPU".to_owned(), |name| format!("GPU named '{name}'")),
                found: names(&adapters),
            });
        };
        let info = adapter.get_info();
        let description = wgpu::DeviceDescriptor {
            label: Some("ocelli"),
            // All that the card has: models are large.
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&description))
            .map_err(|error| Error::Open { adapter: info.name.clone(), reason: error.to_string() })?;
        Ok(Self { device, queue, info })
    }

    /// The adapter's name, e.g. `NVIDIA H200` or `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The API below wgpu: `vulkan`, `metal` or `dx12`.
    pub fn backend(&self) -> &'static str {
        self.info.backend.to_str()
    }

    /// Copies numbers to the device.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`].
    pub fn upload(&self, values: &[f32]) -> Result<Buffer, Error> {
        let contents = bytemuck::cast_slice(values);
        self.allocate(values.len(), |usage| {
            self.device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
        })
    }

    /// `len` zeros on the device.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::OutOfMemory`].
    pub fn zeros(&self, len: usize) -> Result<Buffer, Error> {
        let size = bytes(len);
        self.allocate(len, |usage| {
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })
    }

    /// Copies numbers from the device, after everything that was started before.
    ///
    /// # Errors
    /// [`Error::Lost`] when the device stopped on the way, [`Error::OutOfMemory`] when the copy has no place.
    pub fn download(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        if buffer.is_empty() {
            return Ok(Vec::new());
        }
        let size = bytes(buffer.len());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.guarded(size, || {
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })?;
        let mut commands = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        commands.copy_buffer_to_buffer(&buffer.buffer, 0, &staging, 0, size);
        self.queue.submit([commands.finish()]);
        let (sender, receiver) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only when waiting failed, which is an error already.
            let _ = sender.send(result);
        });
        let lost = |reason: String| Error::Lost { reason };
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| lost(error.to_string()))?;
        receiver.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    fn allocate(&self, len: usize, create: impl FnOnce(wgpu::BufferUsages) -> wgpu::Buffer) -> Result<Buffer, Error> {
        let limits = self.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes(len) > limit {
            return Err(Error::TooLarge { bytes: bytes(len), limit });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        Ok(Buffer { buffer: self.guarded(bytes(len), || create(usage))?, len })
    }

    /// Without a scope, wgpu answers to full memory with a panic.
    fn guarded(&self, bytes: u64, create: impl FnOnce() -> wgpu::Buffer) -> Result<wgpu::Buffer, Error> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = create();
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(Error::OutOfMemory { bytes }),
        }
    }
}

fn bytes(len: usize) -> u64 {
    (len * size_of::<f32>()) as u64
}

fn names(adapters: &[wgpu::Adapter]) -> String {
    if adapters.is_empty() {
        return "none at all (is a Vulkan driver installed?)".to_owned();
    }
    adapters.iter().map(|adapter| adapter.get_info().name).collect::<Vec<_>>().join(", ")
}
