//! [`Precision`]: how many bits a number has on the device.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// How weights and what lies between two layers are stored. Sums are in 32 bits either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32 bits, as on the CPU.
    F32,
    /// 16 bits: half the memory, and what matrix units take. Numbers beyond 65,504 become infinite.
    F16,
}

impl Precision {
    /// `f32` or `f16`, in options, messages and WGSL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes of a number.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Gives numbers as the device has them, in parts, each with the place of its first byte.
    pub(crate) fn encode(self, values: &[f32], mut write: impl FnMut(usize, &[u8])) {
        match self {
            Self::F32 => write(0, bytemuck::cast_slice(values)),
            Self::F16 => {
                const AT_ONCE: usize = 1024;
                let mut halves = [f16::ZERO; AT_ONCE];
                for (number, values) in values.chunks(AT_ONCE).enumerate() {
                    let halves = &mut halves[..values.len()];
                    halves.convert_from_f32_slice(values);
                    write(number * AT_ONCE * self.size(), bytemuck::cast_slice(halves));
                }
            }
        }
    }

    /// Reads `len` numbers of the device.
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
    fn numbers_come_back() {
        let values: Vec<f32> = (0..3000).map(|i| i as f32 / 4.0 - 300.0).collect();
        for precision in [Precision::F32, Precision::F16] {
            let mut bytes = vec![0; values.len() * precision.size() + 2];
            precision.encode(&values, |place, part| bytes[place..][..part.len()].copy_from_slice(part));
            assert_eq!(precision.decode(&bytes, values.len()), values, "{precision:?}");
        }
    }
}
