//! [`Segments`] iterates over the marker segments of a JPEG file.

pub(super) const DEFINE_HUFFMAN_TABLES: u8 = 0xc4;
pub(super) const END_OF_IMAGE: u8 = 0xd9;
pub(super) const START_OF_SCAN: u8 = 0xda;
pub(super) const DEFINE_QUANTIZATION_TABLES: u8 = 0xdb;
pub(super) const DEFINE_RESTART_INTERVAL: u8 = 0xdd;
pub(super) const APP0: u8 = 0xe0;
pub(super) const APP1: u8 = 0xe1;
pub(super) const APP14: u8 = 0xee;

/// The marker codes of frame headers.
pub(super) fn is_frame_header(marker: u8) -> bool {
    const JPEG_EXTENSIONS: u8 = 0xc8;
    const ARITHMETIC_CONDITIONING: u8 = 0xcc;
    (0xc0..=0xcf).contains(&marker)
        && ![DEFINE_HUFFMAN_TABLES, JPEG_EXTENSIONS, ARITHMETIC_CONDITIONING].contains(&marker)
}

/// A marker segment; that of the end of the image has no payload.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) payload: &'a [u8],
    /// The offset of the byte after the segment.
    pub(super) end: usize,
}

/// Ends where a segment is not complete. As in libjpeg, bytes between segments are skipped.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        const START_OF_IMAGE: usize = 2;
        Self { bytes, offset: START_OF_IMAGE }
    }

    /// Continues after a scan.
    pub(super) fn skip_to(&mut self, offset: usize) {
        self.offset = offset;
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (marker, start) = next_marker(self.bytes, self.offset)?;
            match marker {
                // Markers without a length.
                0x01 | 0xd0..=0xd8 => self.offset = start,
                END_OF_IMAGE => {
                    self.offset = start;
                    return Some(Segment { marker, payload: &[], end: start });
                }
                _ => {
                    let (length, _) = self.bytes.get(start..)?.split_first_chunk::<2>()?;
                    let end = start + usize::from(u16::from_be_bytes(*length));
                    let payload = self.bytes.get(start + 2..end)?;
                    self.offset = end;
                    return Some(Segment { marker, payload, end });
                }
            }
        }
    }
}

/// The next marker code at or after `offset`, and the offset of the byte after it. `FF 00` is a byte of entropy-coded data.
pub(super) fn next_marker(bytes: &[u8], mut offset: usize) -> Option<(u8, usize)> {
    loop {
        offset += bytes.get(offset..)?.iter().position(|byte| *byte == 0xff)?;
        while *bytes.get(offset)? == 0xff {
            offset += 1;
        }
        let marker = *bytes.get(offset)?;
        offset += 1;
        if marker != 0 {
            return Some((marker, offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_between_segments_are_skipped() {
        let file = [0xff, 0xd8, 1, 2, 0xff, 0, 0xff, 0xff, 0xe0, 0, 3, 9, 0xff, 0xd0, 0xff, 0xd9];
        let segments: Vec<_> =
            Segments::new(&file).map(|segment| (segment.marker, segment.payload, segment.end)).collect();
        assert_eq!(segments, [(APP0, [9_u8].as_slice(), 12), (END_OF_IMAGE, &[], 16)]);
    }

    #[test]
    fn segments_end_where_one_is_not_complete() {
        for file in
            [[0xff, 0xd8, 0xff, 0xe0, 0, 4, 9], [0xff, 0xd8, 0xff, 0xe0, 0, 1, 9], [0xff, 0xd8, 1, 2, 3, 4, 0xff]]
        {
            assert_eq!(Segments::new(&file).count(), 0);
        }
    }
}
