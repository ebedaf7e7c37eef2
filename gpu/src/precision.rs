//! [`Precision`]: the element type of tensors on the device.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// The storage type of weights and activations. Accumulators are 32-bit floats in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats, as on the CPU.
    F32,
    /// 16-bit floats: half the memory, and cooperative matrices where supported. Magnitudes beyond 65,504 overflow to infinity.
    F16,
}

impl Precision {
    /// `f32` or `f16`: the name in options, messages and WGSL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Converts `values` to the device's format; calls `write` with `(byte offset, bytes)` for each chunk.
    pub(crate) fn encode(self, values: &[f32], mut write: impl FnMut(usize, &[u8])) {
        match self {
            Self::F32 => write(0, bytemuck::cast_slice(values)),
            Self::F16 => {
                const CHUNK_LEN: usize = 1024;
                let mut halves = [f16::ZERO; CHUNK_LEN];
                for (index, values) in values.chunks(CHUNK_LEN).enumerate() {
                    let halves = &mut halves[..values.len()];
                    halves.convert_from_f32_slice(values);
                    write(index * CHUNK_LEN * self.size(), bytemuck::cast_slice(halves));
                }
            }
        }
    }

    /// Converts the first `len` elements of `bytes` from the device's format.
    pub(crate) fn decode(self, bytes: &[u8], len: usize) -> Vec<f32> {
        let bytes = &bytes[..len * self.size()];
        match self {
            Self::F32 => bytemuck::pod_collect_to_vec(bytes),
            Self::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).to_f32_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let values: Vec<f32> = (0..3000).map(|i| i as f32 / 4.0 - 300.0).collect();
        for precision in [Precision::F32, Precision::F16] {
            let mut bytes = vec![0; values.len() * precision.size() + 2];
            precision.encode(&values, |offset, chunk| bytes[offset..][..chunk.len()].copy_from_slice(chunk));
            assert_eq!(precision.decode(&bytes, values.len()), values, "{precision:?}");
        }
    }
}
