//! [`Adapter`]: a GPU, or a software implementation of one, and its capabilities.

use std::fmt;
use std::sync::OnceLock;

use crate::error::Error;
use crate::kernel::CooperativeMatrix;

/// The properties of an adapter, as its driver reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// E.g. `NVIDIA H200` or `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// The graphics API below wgpu: `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Whether it is a software adapter, which runs on the CPU. These are used only if named.
    pub is_software: bool,
    /// Whether shaders can use 16-bit floats.
    pub has_f16: bool,
    /// The minimum and maximum subgroup size; 0 if kernels cannot use subgroups.
    pub subgroup_sizes: (u32, u32),
    /// The block size of its cooperative matrices with 16-bit inputs and 32-bit accumulators, if it supports them.
    pub cooperative_block_size: Option<usize>,
    /// The size in bytes of its largest device-local memory heap, if the driver reports it.
    pub memory_bytes: Option<u64>,
}

/// The process-wide instance: drivers are loaded once.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
        description.backends = wgpu::Backends::PRIMARY;
        wgpu::Instance::new(description)
    })
}

pub(crate) fn enumerate() -> Vec<wgpu::Adapter> {
    pollster::block_on(instance().enumerate_adapters(wgpu::Backends::PRIMARY))
}

/// Whether this machine may have a hardware GPU, without loading any driver. Only Linux can tell; other systems return true.
pub fn may_have_gpu() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    // NVIDIA's proprietary driver, WSL, Adreno and Mali; other drivers create DRM render nodes.
    const DEVICE_FILES: [&str; 5] = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0"];
    let cards = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let mut renders = cards.map(|card| card.file_name()).filter(|name| name.to_string_lossy().starts_with("render"));
    renders.next().is_some() || DEVICE_FILES.iter().any(|file| std::path::Path::new(file).exists())
}

/// The adapters of this machine, in the order in which the drivers enumerate them.
pub fn adapters() -> Vec<Adapter> {
    enumerate().iter().map(Adapter::from_wgpu).collect()
}

/// The adapter that [`Adapter::select`] returns, with wgpu's handle.
pub(crate) fn request_adapter(name: Option<&str>) -> Result<(wgpu::Adapter, Adapter), Error> {
    let wgpu_adapters = enumerate();
    let adapters: Vec<Adapter> = wgpu_adapters.iter().map(Adapter::from_wgpu).collect();
    let selected = Adapter::select(&adapters, name)?;
    let index = adapters.iter().position(|adapter| std::ptr::eq(adapter, selected)).unwrap_or(0);
    Ok((wgpu_adapters[index].clone(), selected.clone()))
}

impl Adapter {
    /// Selects the adapter called `name`, or else the first one whose name contains it, ignoring case. Without a name, selects the
    /// first hardware GPU.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] lists the available adapters.
    pub fn select<'a>(adapters: &'a [Self], name: Option<&str>) -> Result<&'a Self, Error> {
        let lowercase_name = name.map(str::to_lowercase);
        let matches = |adapter: &&Self| match &lowercase_name {
            Some(name) => adapter.name.to_lowercase().contains(name),
            None => !adapter.is_software,
        };
        let matches_exactly = |adapter: &&Self| Some(adapter.name.as_str()) == name;
        adapters.iter().find(matches_exactly).or_else(|| adapters.iter().find(matches)).ok_or_else(|| {
            let available = adapters.iter().map(|adapter| match adapter.is_software {
                true => format!("{} (software adapter, used only if named)", adapter.name),
                false => adapter.name.clone(),
            });
            let available: Vec<String> = available.collect();
            Error::NoAdapter {
                requested: name.map_or_else(|| "hardware GPU".to_owned(), |name| format!("GPU named '{name}'")),
                available: match available.is_empty() {
                    true => "none (is a Vulkan driver installed?)".to_owned(),
                    false => available.join("; "),
                },
            }
        })
    }

    pub(crate) fn from_wgpu(adapter: &wgpu::Adapter) -> Self {
        let (info, features) = (adapter.get_info(), adapter.features());
        let driver = [info.driver.as_str(), info.driver_info.as_str()];
        let driver: Vec<&str> = driver.into_iter().filter(|part| !part.is_empty()).collect();
        let has_subgroups = features.contains(wgpu::Features::SUBGROUP);
        Self {
            api: info.backend.to_str(),
            driver: driver.join(", "),
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            has_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroup_sizes: if has_subgroups { (info.subgroup_min_size, info.subgroup_max_size) } else { (0, 0) },
            cooperative_block_size: cooperative_block_size(adapter),
            memory_bytes: memory_bytes(adapter),
            name: info.name,
        }
    }

    /// Its cooperative matrices, if the subgroup size is fixed: the kernels must know which threads share a matrix.
    pub(crate) fn usable_cooperative_matrix(&self) -> Option<CooperativeMatrix> {
        let (min, max) = self.subgroup_sizes;
        let block_size = self.cooperative_block_size.filter(|_| self.has_f16 && min == max && min > 0)?;
        Some(CooperativeMatrix { block_size, subgroup_size: max as usize })
    }
}

/// The largest square cooperative matrix with 16-bit inputs and 32-bit accumulators.
fn cooperative_block_size(adapter: &wgpu::Adapter) -> Option<usize> {
    use wgpu::CooperativeScalarType::{F16, F32};
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return None;
    }
    let is_supported = |p: &wgpu::CooperativeMatrixProperties| {
        p.m_size == p.n_size && p.n_size == p.k_size && p.ab_type == F16 && p.cr_type == F32
    };
    let properties = adapter.cooperative_matrix_properties();
    properties.iter().filter(|p| is_supported(p)).map(|p| p.m_size as usize).max()
}

/// Only native Vulkan reports memory heaps.
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
fn memory_bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Asks Vulkan, since wgpu does not report memory heaps.
#[cfg(any(windows, target_os = "linux", target_os = "android"))]
fn memory_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the handles are only queried while `adapter` is alive, and the result is copied.
    unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        let properties = instance.get_physical_device_memory_properties(adapter.raw_physical_device());
        const DEVICE_LOCAL: u32 = 1;
        let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
        heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
    }
}

/// The form that `ocelli doctor` lists.
impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, api, driver, .. } = self;
        write!(f, "{name}, {api}, driver {driver}")?;
        if let Some(bytes) = self.memory_bytes {
            write!(f, ", {:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)?;
        }
        f.write_str(if self.has_f16 { ", f16" } else { ", no f16" })?;
        match self.subgroup_sizes {
            (0, _) => f.write_str(", no subgroups")?,
            (min, max) if min == max => write!(f, ", subgroups of {max}")?,
            (min, max) => write!(f, ", subgroups of {min} to {max}")?,
        }
        match self.cooperative_block_size {
            Some(size) if self.usable_cooperative_matrix().is_some() => {
                write!(f, ", cooperative matrices of {size}x{size}")?;
            }
            Some(size) => {
                write!(f, ", cooperative matrices of {size}x{size} (not used: needs f16 and a fixed subgroup size)")?;
            }
            None => f.write_str(", no cooperative matrices")?,
        }
        f.write_str(if self.is_software { ", software adapter: used only if named" } else { "" })
    }
}
