//! [`Header`]: the header of a BMP file, and its palette and bit masks.

use super::super::ImageError;

/// The bytes before the [`Header`]: signature, size of the file, and where the pixels start.
pub(super) const FILE_HEADER_BYTES: usize = 14;

/// Values of [`Header::compression`].
pub(super) const RAW: u32 = 0;
pub(super) const RLE8: u32 = 1;
pub(super) const RLE4: u32 = 2;
pub(super) const MASKS: u32 = 3;

pub(super) struct Header {
    /// Bytes of the header, without the file header.
    pub(super) size: usize,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_top_down: bool,
    /// Bits per pixel.
    pub(super) bits: u16,
    pub(super) compression: u32,
    /// The colours of the palette; 0 stands for all that the pixels can refer to.
    pub(super) colors: u32,
    pub(super) bytes_per_color: usize,
}

impl Header {
    /// # Errors
    /// [`ImageError`] if the header is truncated, or of a kind that Pillow does not read either.
    pub(super) fn read(file: &[u8]) -> Result<Self, ImageError> {
        let size = u32_at(file, 14)?;
        let header = match size {
            // OS/2 1.
            12 => Self {
                size: 12,
                width: u16_at(file, 18)?.into(),
                height: u16_at(file, 20)?.into(),
                is_top_down: false,
                bits: u16_at(file, 24)?,
                compression: RAW,
                colors: 0,
                bytes_per_color: 3,
            },
            // Windows 3 and two extensions of it, OS/2 2, Windows 4 and 5: the first 40 bytes are the same.
            40 | 52 | 56 | 64 | 108 | 124 => {
                let height = u32_at(file, 22)?;
                // A negative height. Pillow takes those below -2^24 for positive ones.
                let is_top_down = height >= 0xff00_0000;
                Self {
                    size: size as usize,
                    width: u32_at(file, 18)?,
                    height: if is_top_down { height.wrapping_neg() } else { height },
                    is_top_down,
                    bits: u16_at(file, 28)?,
                    compression: u32_at(file, 30)?,
                    colors: u32_at(file, 46)?,
                    bytes_per_color: 4,
                }
            }
            _ => return Err(corrupt(format!("a header of {size} bytes is not supported"))),
        };
        if file.len() < FILE_HEADER_BYTES + header.size { Err(TRUNCATED) } else { Ok(header) }
    }

    /// Where the header ends.
    pub(super) fn end(&self) -> usize {
        FILE_HEADER_BYTES + self.size
    }
}

/// Where the pixels start, or 0.
pub(super) fn pixels_start(file: &[u8]) -> Result<usize, ImageError> {
    Ok(u32_at(file, 10)? as usize)
}

/// RGB values; an index of 8 bits always has one.
pub(super) type Palette = [[u8; 3]; 256];

/// Reads a palette of blue, green and red. Colours beyond its end are black.
pub(super) fn read_palette(bytes: &[u8], colors: usize, bytes_per_color: usize) -> Box<Palette> {
    let mut palette = Box::new([[0; 3]; 256]);
    for (color, entry) in palette.iter_mut().take(colors).zip(bytes.chunks_exact(bytes_per_color)) {
        *color = [entry[2], entry[1], entry[0]];
    }
    // If the palette is black and white, or the levels 0, 1, 2, …, then Pillow reads indices beyond it as such levels, too.
    let level = |index: usize| if colors <= 2 && index > 0 { 255 } else { index as u8 };
    if (0..colors).all(|index| palette[index] == [level(index); 3]) {
        for (index, color) in palette.iter_mut().enumerate() {
            *color = [level(index); 3];
        }
    }
    palette
}

/// Contiguous bits of a pixel.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    shift: u32,
    max: u32,
}

impl Channel {
    fn from_mask(mask: u32) -> Option<Self> {
        let shift = mask.trailing_zeros();
        let max = mask.checked_shr(shift)?;
        let is_contiguous = max & max.wrapping_add(1) == 0;
        is_contiguous.then_some(Self { shift, max })
    }

    /// The value of the channel, as 8 bits. The crate `image` would round, Pillow truncates.
    pub(super) fn read(self, pixel: u32) -> u8 {
        let value = (pixel >> self.shift) & self.max;
        if self.max == 255 { value as u8 } else { (u64::from(value) * 255 / u64::from(self.max)) as u8 }
    }
}

/// The channels of the masks of red, green and blue in pixels of up to 32 bits.
///
/// # Errors
/// [`ImageError`] if a mask is empty, has gaps, is beyond the bits of a pixel or overlaps another one. Pillow has a list of masks, all of
/// which are accepted.
pub(super) fn channels(masks: [u32; 3], bits: u16) -> Result<[Channel; 3], ImageError> {
    let [red, green, blue] = masks;
    let all = red | green | blue;
    let problem = if all.checked_shr(bits.into()).is_some_and(|beyond| beyond != 0) {
        format!("exceed the {bits} bits of a pixel")
    } else if red & green != 0 || green & blue != 0 || blue & red != 0 {
        "overlap".to_owned()
    } else {
        match masks.map(Channel::from_mask) {
            [Some(red), Some(green), Some(blue)] => return Ok([red, green, blue]),
            _ => "are not supported".to_owned(),
        }
    };
    Err(corrupt(format!("the bit masks {red:#x}, {green:#x} and {blue:#x} {problem}")))
}

/// The masks of red, green and blue, which follow the shortest header and are part of the others, and where they end.
pub(super) fn read_masks(file: &[u8]) -> Result<([u32; 3], usize), ImageError> {
    Ok(([u32_at(file, 54)?, u32_at(file, 58)?, u32_at(file, 62)?], 66))
}

pub(super) const TRUNCATED: ImageError = ImageError::Truncated { format: "BMP" };

pub(super) fn corrupt(reason: String) -> ImageError {
    ImageError::Corrupt { format: "BMP", reason }
}

fn u16_at(file: &[u8], offset: usize) -> Result<u16, ImageError> {
    let value = file.get(offset..).and_then(|rest| rest.first_chunk());
    value.map(|value| u16::from_le_bytes(*value)).ok_or(TRUNCATED)
}

fn u32_at(file: &[u8], offset: usize) -> Result<u32, ImageError> {
    let value = file.get(offset..).and_then(|rest| rest.first_chunk());
    value.map(|value| u32::from_le_bytes(*value)).ok_or(TRUNCATED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_scaled_as_in_pillow() {
        let [red, green, blue] = channels([0xf800, 0x07e0, 0x001f], 16).unwrap();
        assert_eq!([red.read(9 << 11), green.read(7 << 5), blue.read(3)], [74, 28, 24]);
        assert_eq!([red.read(0xffff), green.read(0xffff), blue.read(0xffff)], [255; 3]);
        let wide = channels([0x7fff_fffe, 1, 1 << 31], 32).unwrap();
        assert_eq!(wide.map(|channel| channel.read(u32::MAX)), [255; 3]);
    }

    #[test]
    fn masks_that_are_empty_or_have_gaps_are_rejected() {
        let error = channels([0xf800, 0x0660, 0x001f], 16).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the BMP file cannot be decoded: the bit masks 0xf800, 0x660 and 0x1f are not supported"
        );
        assert!(channels([0, 0xff, 0xff00], 24).is_err());
    }

    #[test]
    fn masks_that_overlap_or_exceed_the_pixels_are_rejected() {
        let reason = |masks, bits| {
            let error = channels(masks, bits).err().unwrap().to_string();
            error.strip_prefix("the BMP file cannot be decoded: the bit masks ").unwrap().to_owned()
        };
        assert_eq!(reason([0x00ff_0000, 0xff00, 0xff], 16), "0xff0000, 0xff00 and 0xff exceed the 16 bits of a pixel");
        assert_eq!(
            reason([0xff00_0000, 0xff00, 0xff], 24),
            "0xff000000, 0xff00 and 0xff exceed the 24 bits of a pixel"
        );
        assert_eq!(reason([u32::MAX, 0xff00, 0xff], 32), "0xffffffff, 0xff00 and 0xff overlap");
        assert_eq!(reason([0xf800, 0x07e0, 0x003f], 16), "0xf800, 0x7e0 and 0x3f overlap");
        assert_eq!(reason([0x1f, 0x07e0, 0x1f], 16), "0x1f, 0x7e0 and 0x1f overlap");
    }

    #[test]
    fn all_masks_of_pillow_are_accepted() {
        let supported = [
            ([0x00ff_0000, 0xff00, 0xff], 32),
            ([0xff00_0000, 0x00ff_0000, 0xff00], 32),
            ([0xff00_0000, 0xff00, 0xff], 32),
            ([0xff, 0xff00, 0x00ff_0000], 32),
            ([0x00ff_0000, 0xff00, 0xff], 24),
            ([0xf800, 0x07e0, 0x001f], 16),
            ([0x7c00, 0x03e0, 0x001f], 16),
        ];
        for (masks, bits) in supported {
            assert!(channels(masks, bits).is_ok(), "{masks:x?} of {bits} bits");
        }
    }

    #[test]
    fn indices_beyond_the_palette_are_black_or_levels() {
        let palette = read_palette(&[1, 2, 3, 0, 4, 5, 6, 0], 2, 4);
        assert_eq!(palette[..3], [[3, 2, 1], [6, 5, 4], [0; 3]]);
        assert_eq!(read_palette(&[0, 0, 0, 1, 1, 1, 2, 2, 2], 3, 3)[7], [7; 3]);
        assert_eq!(read_palette(&[0, 0, 0, 255, 255, 255], 2, 3)[..3], [[0; 3], [255; 3], [255; 3]]);
        assert_eq!(read_palette(&[9], 2, 4)[..2], [[0; 3]; 2], "a truncated palette");
    }

    #[test]
    fn headers_that_pillow_rejects_are_rejected() {
        let mut file = vec![0; 200];
        for size in [0, 16, 60, 200] {
            file[14] = size;
            let expected = format!("the BMP file cannot be decoded: a header of {size} bytes is not supported");
            assert_eq!(Header::read(&file).err().unwrap().to_string(), expected);
        }
        file[14] = 124;
        assert!(Header::read(&file).is_ok());
        assert_eq!(Header::read(&file[..137]).err().unwrap(), TRUNCATED);
        assert_eq!(Header::read(&file[..15]).err().unwrap(), TRUNCATED);
    }
}
