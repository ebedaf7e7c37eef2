//! The GPU through wgpu: Vulkan, Metal or DirectX 12 from one build. Slices in, slices out.
//!
//! ```no_run
//! use ocelli_gpu::{Device, Gemm};
//!
//! # fn main() -> Result<(), ocelli_gpu::Error> {
//! let device = Device::open(None)?;
//! let gemm = Gemm::new(&device);
//! let (a, b) = (device.upload(&[1.0, 2.0])?, device.upload(&[3.0, 4.0])?);
//! let product = gemm.run(&a, &b, [1, 2, 1])?;
//! assert_eq!(device.download(&product)?, [11.0]);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Device`] is an opened adapter, [`Buffer`] a slice on it.
//! - Each kernel is a type of its own ([`Gemm`]): its `.wgsl` beside its `.rs`, which has the launch. The tests have a slow
//!   `reference_` twin of each.

mod buffer;
mod device;
mod error;
mod gemm;

pub use buffer::Buffer;
pub use device::Device;
pub use error::Error;
pub use gemm::Gemm;
