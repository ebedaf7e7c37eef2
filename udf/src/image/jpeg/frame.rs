//! [`Frame`]: what the frame header of a JPEG file declares.

use super::Invalid;

/// The frame header.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) is_progressive: bool,
    /// One, three or four.
    pub(super) components: Vec<FrameComponent>,
    /// The largest sampling factors, horizontal and vertical.
    pub(super) max_sampling: (usize, usize),
}

/// A component as the frame header declares it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameComponent {
    pub(super) id: u8,
    /// Sampling factors: the blocks per minimum coded unit, horizontal and vertical.
    pub(super) sampling: (usize, usize),
    /// The index of its quantization table.
    pub(super) table: usize,
}

impl Frame {
    pub(super) fn parse(marker: u8, payload: &[u8]) -> Result<Self, Invalid> {
        const BASELINE: u8 = 0xc0;
        const EXTENDED: u8 = 0xc1;
        const PROGRESSIVE: u8 = 0xc2;
        if ![BASELINE, EXTENDED, PROGRESSIVE].contains(&marker) {
            return Err(Invalid::Corrupt("arithmetic coding, lossless and hierarchical JPEG are not supported"));
        }
        let Some((&[precision, h1, h0, w1, w0, count], specifications)) = payload.split_first_chunk::<6>() else {
            return Err(Invalid::Corrupt("its frame header is not complete"));
        };
        if precision != 8 {
            return Err(Invalid::Corrupt("samples that have not 8 bits are not supported"));
        }
        if ![1, 3, 4].contains(&count) || specifications.len() != usize::from(count) * 3 {
            return Err(Invalid::Corrupt("it has not 1, 3 or 4 components"));
        }
        let component = |&[id, sampling, table]: &[u8; 3]| {
            let sampling = (usize::from(sampling >> 4), usize::from(sampling & 15));
            FrameComponent { id, sampling, table: usize::from(table) }
        };
        let components: Vec<FrameComponent> = specifications.as_chunks().0.iter().map(component).collect();
        let max = |factor: fn(&FrameComponent) -> usize| components.iter().map(factor).max().unwrap_or(1);
        let max_sampling = (max(|component| component.sampling.0), max(|component| component.sampling.1));
        for component in &components {
            let (horizontal, vertical) = component.sampling;
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
                return Err(Invalid::Corrupt("its sampling factors are invalid"));
            }
            if max_sampling.0 % horizontal != 0 || max_sampling.1 % vertical != 0 {
                return Err(Invalid::Corrupt("fractional sampling ratios are not supported"));
            }
        }
        let (width, height) = (usize::from(u16::from_be_bytes([w1, w0])), usize::from(u16::from_be_bytes([h1, h0])));
        let is_progressive = marker == PROGRESSIVE;
        Ok(Self { width, height, is_progressive, components, max_sampling })
    }

    /// The numbers of minimum coded units of an interleaved scan, horizontal and vertical.
    pub(super) fn units(&self) -> (usize, usize) {
        (self.width.div_ceil(8 * self.max_sampling.0), self.height.div_ceil(8 * self.max_sampling.1))
    }

    /// The size of a component in samples.
    pub(super) fn size(&self, component: &FrameComponent) -> (usize, usize) {
        let size = |length: usize, factor: usize, max: usize| (length * factor).div_ceil(max);
        (
            size(self.width, component.sampling.0, self.max_sampling.0),
            size(self.height, component.sampling.1, self.max_sampling.1),
        )
    }

    /// The memory of the decoded components, with their padding to minimum coded units, and of the coefficients of a progressive
    /// file, in bytes.
    pub(super) fn plane_bytes(&self) -> u64 {
        let (columns, rows) = self.units();
        let blocks_per_unit: usize = self.components.iter().map(|part| part.sampling.0 * part.sampling.1).sum();
        let samples = columns as u64 * rows as u64 * blocks_per_unit as u64 * 64;
        if self.is_progressive { samples * 3 } else { samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_samples() {
        let payload = [8, 0, 50, 0, 70, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        let frame = Frame::parse(0xc0, &payload).ok().unwrap();
        assert_eq!(frame.units(), (5, 4));
        assert_eq!(frame.size(&frame.components[1]), (35, 25));
        assert_eq!(frame.plane_bytes(), 5 * 4 * 6 * 64);
        for (offset, value) in [(0, 12), (5, 2), (7, 0x02), (7, 0x52), (10, 0x33)] {
            let mut payload = payload;
            payload[offset] = value;
            assert!(Frame::parse(0xc0, &payload).is_err(), "{value} at {offset}");
        }
        assert!(Frame::parse(0xc9, &payload).is_err());
        assert!(Frame::parse(0xc0, &payload[..9]).is_err());
    }
}
