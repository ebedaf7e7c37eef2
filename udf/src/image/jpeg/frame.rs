//! [`Frame`]: what the frame header of a JPEG file declares.

use super::Invalid;
use super::scale::Scale;

/// The frame header, and the scale at which the file is decoded.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) is_progressive: bool,
    /// At most four.
    pub(super) components: Vec<FrameComponent>,
    /// The largest sampling factors, horizontal and vertical.
    pub(super) max_sampling: (usize, usize),
    pub(super) scale: Scale,
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
        if !(1..=4).contains(&count) || specifications.len() != usize::from(count) * 3 {
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
        Ok(Self { width, height, is_progressive, components, max_sampling, scale: Scale::Full })
    }

    /// The numbers of minimum coded units of an interleaved scan, horizontal and vertical.
    pub(super) fn units(&self) -> (usize, usize) {
        (self.width.div_ceil(8 * self.max_sampling.0), self.height.div_ceil(8 * self.max_sampling.1))
    }

    /// The numbers of blocks of a component that contain pixels of the image, horizontal and vertical.
    pub(super) fn blocks(&self, component: &FrameComponent) -> (usize, usize) {
        let blocks = |length: usize, factor: usize, max: usize| (length * factor).div_ceil(max * 8);
        (
            blocks(self.width, component.sampling.0, self.max_sampling.0),
            blocks(self.height, component.sampling.1, self.max_sampling.1),
        )
    }

    /// The width and height of the decoded image.
    pub(super) fn scaled_size(&self) -> (usize, usize) {
        let side = self.scale.block_side();
        ((self.width * side).div_ceil(8), (self.height * side).div_ceil(8))
    }

    /// The samples in a row of a block of a component.
    ///
    /// A component with fewer samples than others is decoded at a larger scale than they are, as far as that replaces upsampling in both
    /// directions (libjpeg's `jpeg_calc_output_dimensions`).
    pub(super) fn block_side(&self, component: &FrameComponent) -> usize {
        let least = self.scale.block_side();
        let fits = |side: usize, factor: usize, max: usize| (max * least).is_multiple_of(factor * side);
        let mut side = least;
        while side < 8
            && fits(2 * side, component.sampling.0, self.max_sampling.0)
            && fits(2 * side, component.sampling.1, self.max_sampling.1)
        {
            side *= 2;
        }
        side
    }

    /// The width and height of a decoded component in samples.
    pub(super) fn component_size(&self, component: &FrameComponent) -> (usize, usize) {
        let side = self.block_side(component);
        let size = |length: usize, factor: usize, max: usize| (length * factor * side).div_ceil(max * 8);
        (
            size(self.width, component.sampling.0, self.max_sampling.0),
            size(self.height, component.sampling.1, self.max_sampling.1),
        )
    }

    /// The pixels of the decoded image per sample of a component, horizontal and vertical.
    pub(super) fn pixels_per_sample(&self, component: &FrameComponent) -> (usize, usize) {
        let (least, side) = (self.scale.block_side(), self.block_side(component));
        let ratio = |factor: usize, max: usize| max * least / (factor * side);
        (ratio(component.sampling.0, self.max_sampling.0), ratio(component.sampling.1, self.max_sampling.1))
    }

    /// The memory of the decoded components, with their padding to minimum coded units, and of the coefficients of a progressive
    /// file, in bytes.
    pub(super) fn plane_bytes(&self) -> u64 {
        let (columns, rows) = self.units();
        let blocks = |part: &FrameComponent| columns as u64 * rows as u64 * (part.sampling.0 * part.sampling.1) as u64;
        let coefficient_bytes = if self.is_progressive { 64 * 2 } else { 0 };
        let bytes = |part: &FrameComponent| blocks(part) * ((self.block_side(part).pow(2) + coefficient_bytes) as u64);
        self.components.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 70 x 50 pixels, luma with two samples in both directions for one of chroma.
    const PAYLOAD: [u8; 15] = [8, 0, 50, 0, 70, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

    #[test]
    fn sizes_are_those_of_the_samples() {
        let frame = Frame::parse(0xc0, &PAYLOAD).ok().unwrap();
        assert_eq!(frame.units(), (5, 4));
        assert_eq!(frame.blocks(&frame.components[0]), (9, 7));
        assert_eq!(frame.component_size(&frame.components[1]), (35, 25));
        assert_eq!(frame.plane_bytes(), 5 * 4 * 6 * 64);
        let progressive = Frame::parse(0xc2, &PAYLOAD).ok().unwrap();
        assert_eq!(progressive.plane_bytes(), 5 * 4 * 6 * 64 * 3);
    }

    #[test]
    fn invalid_headers_are_rejected() {
        for (offset, value) in [(0, 12), (5, 2), (7, 0x02), (7, 0x52), (10, 0x33)] {
            let mut payload = PAYLOAD;
            payload[offset] = value;
            assert!(Frame::parse(0xc0, &payload).is_err(), "{value} at {offset}");
        }
        assert!(Frame::parse(0xc9, &PAYLOAD).is_err());
        assert!(Frame::parse(0xc0, &PAYLOAD[..9]).is_err());
    }

    #[test]
    fn chroma_is_decoded_at_a_larger_scale_instead_of_upsampling() {
        let mut frame = Frame::parse(0xc0, &PAYLOAD).ok().unwrap();
        // The sampling of luma, the sides of the blocks of luma and chroma at the three scales, and the ratio that remains.
        for (luma, sides, ratio) in [
            ((2, 2), [(4, 8), (2, 4), (1, 2)], (1, 1)),
            ((2, 1), [(4, 4), (2, 2), (1, 1)], (2, 1)),
            ((1, 2), [(4, 4), (2, 2), (1, 1)], (1, 2)),
            ((4, 2), [(4, 8), (2, 4), (1, 2)], (2, 1)),
            ((2, 4), [(4, 8), (2, 4), (1, 2)], (1, 2)),
        ] {
            (frame.components[0].sampling, frame.max_sampling) = (luma, luma);
            for (scale, sides) in [Scale::Half, Scale::Quarter, Scale::Eighth].into_iter().zip(sides) {
                frame.scale = scale;
                let (luma, chroma) = (&frame.components[0], &frame.components[1]);
                assert_eq!((frame.block_side(luma), frame.block_side(chroma)), sides, "{frame:?}");
                assert_eq!(frame.component_size(luma), frame.scaled_size());
                assert_eq!(frame.pixels_per_sample(luma), (1, 1));
                assert_eq!(frame.pixels_per_sample(chroma), ratio, "{frame:?}");
            }
        }
        frame.scale = Scale::Half;
        assert_eq!(frame.scaled_size(), (35, 25));
        frame.scale = Scale::Eighth;
        assert_eq!(frame.scaled_size(), (9, 7));
    }
}
