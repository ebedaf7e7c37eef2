//! [`YCbCrTables`] convert luma and chroma to RGB, as Pillow and libtiff do.

use super::TiffError;
use super::compression::Compression;
use super::directory::{Directory, tag};

/// What each value of a sample adds to a channel; `cr_green` and `cb_green` have fractional bits.
#[derive(Debug)]
pub(super) struct YCbCrTables {
    y: [i32; 256],
    cr_red: [i32; 256],
    cb_blue: [i32; 256],
    cr_green: [i32; 256],
    cb_green: [i32; 256],
    fractional_bits: u32,
}

impl YCbCrTables {
    /// Uncompressed pixels are converted by Pillow, others by libtiff.
    pub(super) fn try_new(directory: &Directory<'_>, compression: Compression) -> Result<Self, TiffError> {
        if compression == Compression::None {
            return Ok(Self::pillow());
        }
        let reals = |tag, defaults: [f32; 6]| -> Result<[f32; 6], TiffError> {
            let Some(field) = directory.field(tag)? else { return Ok(defaults) };
            let mut values = defaults;
            for (index, value) in values.iter_mut().enumerate() {
                *value = field.real(index).unwrap_or(*value);
            }
            Ok(values)
        };
        let [red, green, blue, ..] = reals(tag::YCBCR_COEFFICIENTS, [0.299, 0.587, 0.114, 0.0, 0.0, 0.0])?;
        if green == 0.0 || [red, green, blue].iter().any(|value| value.is_nan()) {
            return Err(TiffError::invalid("its YCbCrCoefficients are invalid"));
        }
        let range = reals(tag::REFERENCE_BLACK_WHITE, [0.0, 255.0, 128.0, 255.0, 128.0, 255.0])?;
        Ok(Self::libtiff([red, green, blue], range))
    }

    /// `ImagingConvertYCbCr2RGB`, whose tables are of 1/64.
    fn pillow() -> Self {
        let table = |factor: f64| scaled(|value| (factor * 64.0 * (f64::from(value) - 128.0) + 0.5) as i32);
        Self {
            y: scaled(|value| value),
            cr_red: table(1.402).map(|value| value >> 6),
            cb_blue: table(1.772).map(|value| value >> 6),
            cr_green: table(-0.71414),
            cb_green: table(-0.34414),
            fractional_bits: 6,
        }
    }

    /// `TIFFYCbCrToRGBInit`, in single precision: `range` has the values of black and white of Y, Cb and Cr.
    fn libtiff([red, green, blue]: [f32; 3], range: [f32; 6]) -> Self {
        const BITS: u32 = 16;
        const HALF: i32 = 1 << (BITS - 1);
        let fixed = |factor: f32| (f64::from(factor.clamp(0.0, 2.0) * 65536.0) + 0.5) as i32;
        let expanded = |value: i32, black: f32, white: f32, max: f32| {
            let width = if white - black == 0.0 { 1.0 } else { white - black };
            let value = value.saturating_sub(black as i32) as f32 * max / width;
            value.clamp(-4096.0, 4096.0) as i32
        };
        let cb = |value: i32| expanded(value - 128, range[2] - 128.0, range[3] - 128.0, 127.0);
        let cr = |value: i32| expanded(value - 128, range[4] - 128.0, range[5] - 128.0, 127.0);
        let (red_factor, blue_factor) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let (for_red, for_blue) = (fixed(red_factor), fixed(blue_factor));
        let cr_for_green = -fixed(red * red_factor / green);
        let cb_for_green = -fixed(blue * blue_factor / green);
        Self {
            y: scaled(|value| expanded(value, range[0], range[1], 255.0)),
            cr_red: scaled(|value| (for_red * cr(value) + HALF) >> BITS),
            cb_blue: scaled(|value| (for_blue * cb(value) + HALF) >> BITS),
            cr_green: scaled(|value| cr_for_green * cr(value)),
            cb_green: scaled(|value| cb_for_green * cb(value) + HALF),
            fractional_bits: BITS,
        }
    }

    pub(super) fn to_rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (self.y[usize::from(y)], usize::from(cb), usize::from(cr));
        let green = (self.cb_green[cb] + self.cr_green[cr]) >> self.fractional_bits;
        [y + self.cr_red[cr], y + green, y + self.cb_blue[cb]].map(|value| value.clamp(0, 255) as u8)
    }
}

/// The table of a function of a sample.
fn scaled(function: impl Fn(i32) -> i32) -> [i32; 256] {
    let mut table = [0; 256];
    for (value, entry) in (0..).zip(&mut table) {
        *entry = function(value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_pillow() {
        let tables = YCbCrTables::pillow();
        for (ycbcr, rgb) in [
            ([0, 128, 128], [0, 0, 0]),
            ([255, 128, 128], [255, 255, 255]),
            ([128, 0, 255], [255, 81, 0]),
            ([100, 255, 0], [0, 147, 255]),
            ([200, 90, 170], [255, 183, 132]),
            ([185, 241, 225], [255, 76, 255]),
            ([130, 240, 249], [255, 5, 255]),
            ([248, 20, 116], [231, 255, 56]),
            ([155, 72, 96], [110, 197, 55]),
            ([160, 205, 148], [188, 119, 255]),
        ] {
            let [y, cb, cr] = ycbcr;
            assert_eq!(tables.to_rgb(y, cb, cr), rgb, "{ycbcr:?}");
        }
    }

    #[test]
    fn colours_of_libtiff() {
        let tables = YCbCrTables::libtiff([0.299, 0.587, 0.114], [0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        for (ycbcr, rgb) in [
            ([0, 128, 128], [0, 0, 0]),
            ([255, 128, 128], [255, 255, 255]),
            ([128, 0, 255], [255, 81, 0]),
            ([100, 255, 0], [0, 148, 255]),
            ([200, 90, 170], [255, 183, 133]),
            ([185, 241, 225], [255, 77, 255]),
            ([130, 240, 249], [255, 5, 255]),
            ([248, 20, 116], [231, 255, 57]),
            ([155, 72, 96], [110, 197, 56]),
            ([160, 205, 148], [188, 119, 255]),
        ] {
            let [y, cb, cr] = ycbcr;
            assert_eq!(tables.to_rgb(y, cb, cr), rgb, "{ycbcr:?}");
        }
    }

    #[test]
    fn any_range_is_converted() {
        for value in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 0.0, -1.0] {
            let tables = YCbCrTables::libtiff([value, 0.5, value], [value, 255.0, value, 255.0, 0.0, value]);
            for sample in [0, 128, 255] {
                tables.to_rgb(sample, sample, 255 - sample);
            }
        }
    }
}
