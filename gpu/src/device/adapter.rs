//! [`Adapter`]: a card, or what computes in its place, and what it can do.

use std::fmt;
use std::sync::OnceLock;

use crate::error::Error;
use crate::kernel::MatrixUnits;

/// What a driver says of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// E.g. `NVIDIA H200` or `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// The API below wgpu: `vulkan`, `metal` or `dx12`.
    pub api: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Whether it computes on the CPU. Such a one is used only by its name: nobody who asks for a GPU means that.
    pub is_software: bool,
    /// Whether it has 16-bit floats.
    pub has_f16: bool,
    /// Threads that run together, the fewest and the most; 0 when kernels cannot use that.
    pub subgroup: (u32, u32),
    /// The side of the blocks that its matrix units multiply, 16-bit floats into 32 bits, where there are some.
    pub matrix_units: Option<usize>,
    /// Bytes of its largest memory of its own, where the driver tells.
    pub memory: Option<u64>,
}

/// One for the whole process: drivers are loaded once.
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

/// Whether this machine may have a real GPU, without asking the drivers. Elsewhere than on Linux they are asked.
pub fn may_have_gpu() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    // Mesa's, NVIDIA's, that of Windows below, and those of telephones.
    const ALONE: [&str; 5] = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kgsl-3d0", "/dev/mali0"];
    let cards = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let mut renders = cards.map(|card| card.file_name()).filter(|name| name.to_string_lossy().starts_with("render"));
    renders.next().is_some() || ALONE.iter().any(|device| std::path::Path::new(device).exists())
}

/// The adapters of this machine, in the order of its drivers.
pub fn adapters() -> Vec<Adapter> {
    enumerate().iter().map(Adapter::of).collect()
}

/// The adapter of wgpu that [`Adapter::choose`] chooses.
pub(crate) fn find(name: Option<&str>) -> Result<(wgpu::Adapter, Adapter), Error> {
    let adapters = enumerate();
    let known: Vec<Adapter> = adapters.iter().map(Adapter::of).collect();
    let chosen = Adapter::choose(&known, name)?;
    let number = known.iter().position(|known| std::ptr::eq(known, chosen)).unwrap_or(0);
    Ok((adapters[number].clone(), chosen.clone()))
}

impl Adapter {
    /// The first real GPU, or the adapter of that name, or the first whose name contains it, whatever the case of its letters.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] lists the adapters that there are.
    pub fn choose<'a>(adapters: &'a [Self], name: Option<&str>) -> Result<&'a Self, Error> {
        let wanted = name.map(str::to_lowercase);
        let fits = |adapter: &&Self| match &wanted {
            Some(name) => adapter.name.to_lowercase().contains(name),
            None => !adapter.is_software,
        };
        let is_named = |adapter: &&Self| Some(adapter.name.as_str()) == name;
        adapters.iter().find(is_named).or_else(|| adapters.iter().find(fits)).ok_or_else(|| {
            let found = adapters.iter().map(|adapter| match adapter.is_software {
                true => format!("{}, which computes on the CPU and is used only by its name", adapter.name),
                false => adapter.name.clone(),
            });
            let found: Vec<String> = found.collect();
            Error::NoAdapter {
                wanted: name.map_or_else(|| "real GPU".to_owned(), |name| format!("GPU named '{name}'")),
                found: match found.is_empty() {
                    true => "none at all (is a Vulkan driver installed?)".to_owned(),
                    false => found.join("; "),
                },
            }
        })
    }

    pub(crate) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, features) = (adapter.get_info(), adapter.features());
        let driver = [info.driver.as_str(), info.driver_info.as_str()];
        let driver: Vec<&str> = driver.into_iter().filter(|part| !part.is_empty()).collect();
        let has_subgroups = features.contains(wgpu::Features::SUBGROUP);
        Self {
            api: info.backend.to_str(),
            driver: driver.join(", "),
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            has_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroup: if has_subgroups { (info.subgroup_min_size, info.subgroup_max_size) } else { (0, 0) },
            matrix_units: side(adapter),
            memory: memory(adapter),
            name: info.name,
        }
    }

    /// Its matrix units, when subgroups are always of one size: which threads share a block must be known beforehand.
    pub(crate) fn units(&self) -> Option<MatrixUnits> {
        let (fewest, most) = self.subgroup;
        let side = self.matrix_units.filter(|_| self.has_f16 && fewest == most && fewest > 0)?;
        Some(MatrixUnits { side, subgroup_size: most as usize })
    }
}

/// The largest square block of 16-bit floats that is multiplied and added up in 32 bits.
fn side(adapter: &wgpu::Adapter) -> Option<usize> {
    use wgpu::CooperativeScalarType::{F16, F32};
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return None;
    }
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        p.m_size == p.n_size && p.n_size == p.k_size && p.ab_type == F16 && p.cr_type == F32
    };
    let properties = adapter.cooperative_matrix_properties();
    properties.iter().filter(|p| fits(p)).map(|p| p.m_size as usize).max()
}

/// Only Vulkan says it, and only where it is a native one.
#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
fn memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// wgpu does not say it; Vulkan does.
#[cfg(any(windows, target_os = "linux", target_os = "android"))]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: nothing is done to the adapter but asking it, and what it gives is copied.
    unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        let properties = instance.get_physical_device_memory_properties(adapter.raw_physical_device());
        const DEVICE_LOCAL: u32 = 1;
        let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
        heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
    }
}

/// As `ocelli doctor` lists it.
impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, api, driver, .. } = self;
        write!(f, "{name}, {api}, driver {driver}")?;
        if let Some(bytes) = self.memory {
            write!(f, ", {:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)?;
        }
        f.write_str(if self.has_f16 { ", f16" } else { ", no f16" })?;
        match self.subgroup {
            (0, _) => f.write_str(", no subgroups")?,
            (fewest, most) if fewest == most => write!(f, ", subgroups of {most}")?,
            (fewest, most) => write!(f, ", subgroups of {fewest} to {most}")?,
        }
        match self.matrix_units {
            Some(side) if self.units().is_some() => write!(f, ", matrix units {side}x{side}")?,
            Some(side) => write!(f, ", matrix units {side}x{side} (not used: the size of its subgroups varies)")?,
            None => f.write_str(", no matrix units that wgpu knows")?,
        }
        f.write_str(if self.is_software { ", computes on the CPU: used only by its name" } else { "" })
    }
}
