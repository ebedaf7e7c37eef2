//! [`Format`]: how the pixels of a TIFF file are stored.

use super::TiffError;
use super::compression::Compression;
use super::directory::{ByteOrder, Directory, tag};

/// What the samples of a pixel mean. Alpha and other extra samples are dropped, as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A level of gray of at most 8 bits.
    Gray { is_inverted: bool },
    /// A number that is clipped at 0 and 255.
    Number(NumberType),
    /// An index of the colour map.
    Palette,
    /// Red, green and blue, whose high bytes are taken. Premultiplied values are divided by the fourth sample.
    Rgb { is_premultiplied: bool },
    /// The amounts of four inks.
    Cmyk,
    /// Luma and chroma, as in JPEG.
    YCbCr,
    /// CIE L*a*b* with signed a* and b*.
    Lab,
}

/// The type of a sample of more than 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    U12,
    U16,
    I16,
    I32,
    F32,
}

/// The layout of the samples of a pixel, and their meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) meaning: Meaning,
    pub(super) order: ByteOrder,
    /// The bits of each sample.
    pub(super) bits: u8,
    /// The samples that are read for each pixel.
    pub(super) samples: u8,
    /// Whether each sample has strips or tiles of its own.
    pub(super) is_separate: bool,
    /// Whether the first bit of a byte is its lowest.
    pub(super) is_bit_reversed: bool,
    /// Pixels in horizontal and vertical direction that share their chroma, for [`Meaning::YCbCr`]; (1, 1) otherwise.
    pub(super) subsampling: (u8, u8),
}

/// The fields that select a [`Meaning`], with the names that Pillow's table `OPEN_INFO` has for them.
struct Key<'a> {
    order: ByteOrder,
    photometric: u64,
    sample_format: u64,
    fill_order: u64,
    bits: u64,
    samples: u64,
    extra: &'a [u64],
}

const UNSIGNED: u64 = 1;
const SIGNED: u64 = 2;
const FLOAT: u64 = 3;

/// The values of the field ExtraSamples.
const UNSPECIFIED: u64 = 0;
const PREMULTIPLIED: u64 = 1;
const STRAIGHT: u64 = 2;
/// Written by Corel Draw for straight alpha.
const COREL_ALPHA: u64 = 999;

impl Format {
    /// # Errors
    /// If Pillow does not read such pixels.
    pub(super) fn try_new(directory: &Directory<'_>, compression: Compression) -> Result<Self, TiffError> {
        const MAX_SAMPLES: u64 = 6;
        let photometric = directory.number(tag::PHOTOMETRIC, 0)?;
        let stored_samples = directory.number(tag::SAMPLES_PER_PIXEL, 1)?;
        if !(1..=MAX_SAMPLES).contains(&stored_samples) {
            return Err(TiffError::Invalid(format!("pixels of {stored_samples} samples are not supported")));
        }
        let mut extra = [UNSPECIFIED; MAX_SAMPLES as usize];
        let extra = values(directory, tag::EXTRA_SAMPLES, &mut extra)?;
        let has_planes = directory.number(tag::PLANAR_CONFIGURATION, 1)? == 2;
        // Unspecified samples in planes of their own are not read.
        let is_shortened = has_planes && !extra.is_empty() && extra.iter().all(|&kind| kind == UNSPECIFIED);
        let (samples, extra) = match is_shortened {
            true => (stored_samples.saturating_sub(extra.len() as u64), &extra[..0]),
            false => (stored_samples, extra),
        };
        let key = Key {
            order: directory.order,
            photometric,
            sample_format: uniform(directory, tag::SAMPLE_FORMAT, UNSIGNED, "formats")?,
            fill_order: directory.number(tag::FILL_ORDER, 1)?,
            bits: uniform(directory, tag::BITS_PER_SAMPLE, 1, "numbers of bits")?,
            samples,
            extra,
        };
        let bits = directory.field(tag::BITS_PER_SAMPLE)?.map_or(1, |field| field.count() as u64);
        if bits != 1 && bits < stored_samples {
            return Err(TiffError::Invalid(format!("it states the bits of {bits} of {stored_samples} samples")));
        }
        let mut meaning = key.meaning().ok_or_else(|| key.unsupported())?;
        if photometric == 6 && samples == 1 && compression != Compression::None {
            return Err(key.unsupported());
        }
        let is_separate = has_planes && stored_samples > 1;
        if is_separate {
            let is_plain =
                !is_shortened && !matches!(meaning, Meaning::Gray { .. } | Meaning::Palette | Meaning::YCbCr);
            let is_plain = is_plain && meaning != Meaning::Rgb { is_premultiplied: true } && samples <= 4;
            if compression == Compression::None && !is_plain {
                return Err(TiffError::invalid("uncompressed planes are supported of RGB, RGBA, CMYK and LAB only"));
            }
            // libtiff takes a fourth plane without ExtraSamples for premultiplied alpha, Pillow a fourth sample for straight alpha.
            if compression != Compression::None && photometric == 2 && samples == 4 && extra.is_empty() {
                meaning = Meaning::Rgb { is_premultiplied: true };
            }
        }
        let is_subsampled = meaning == Meaning::YCbCr && compression != Compression::Jpeg;
        Ok(Self {
            meaning,
            order: key.order,
            bits: key.bits as u8,
            samples: samples as u8,
            is_separate,
            is_bit_reversed: key.fill_order == 2,
            subsampling: if is_subsampled { subsampling(directory, compression, is_separate)? } else { (1, 1) },
        })
    }

    /// The bytes of a sample of at least 8 bits.
    pub(super) fn sample_bytes(&self) -> usize {
        usize::from(self.bits / 8)
    }

    /// The samples that a strip or tile has for each pixel.
    pub(super) fn chunk_samples(&self) -> u8 {
        if self.is_separate { 1 } else { self.samples }
    }

    /// The strips or tiles that are read for each region of the image.
    pub(super) fn planes(&self) -> u8 {
        if self.is_separate { self.samples } else { 1 }
    }
}

impl Key<'_> {
    fn meaning(&self) -> Option<Meaning> {
        let is_unsigned = self.sample_format == UNSIGNED;
        let has_order = matches!(self.fill_order, 1 | 2);
        let is_first_high = self.fill_order == 1;
        let has_extra_unspecified_only = self.extra.iter().all(|&kind| kind == UNSPECIFIED);
        let few_bits = matches!(self.bits, 1 | 2 | 4 | 8);
        match (self.photometric, self.samples, self.extra) {
            (0 | 1, 1, []) if few_bits && is_unsigned && has_order => {
                Some(Meaning::Gray { is_inverted: self.photometric == 0 })
            }
            (1, 1, []) if self.bits == 8 && self.sample_format == SIGNED && is_first_high => {
                Some(Meaning::Gray { is_inverted: false })
            }
            (0 | 1, 1, []) => self.number().map(Meaning::Number),
            (1, 2, [UNSPECIFIED | STRAIGHT]) if self.bits == 8 && is_unsigned && is_first_high => {
                Some(Meaning::Gray { is_inverted: false })
            }
            (2, 3, []) if self.bits == 8 && is_unsigned && has_order => Some(Meaning::Rgb { is_premultiplied: false }),
            (2, 3..=6, _) if is_unsigned && is_first_high => self.rgb(),
            (3, 1, []) if few_bits && is_unsigned && has_order => Some(Meaning::Palette),
            (3, 2, [UNSPECIFIED | STRAIGHT]) if self.bits == 8 && is_unsigned && is_first_high => {
                Some(Meaning::Palette)
            }
            (5, 4..=6, _) if is_unsigned && is_first_high => {
                let has_fitting_extra = self.extra.len() as u64 == self.samples - 4 && has_extra_unspecified_only;
                let has_fitting_bits = self.bits == 8 || (self.bits == 16 && self.samples == 4);
                (has_fitting_extra && has_fitting_bits).then_some(Meaning::Cmyk)
            }
            (6, 1, []) if self.bits == 8 && is_unsigned && is_first_high => Some(Meaning::Gray { is_inverted: false }),
            (6, 3, []) if self.bits == 8 && is_unsigned && is_first_high => Some(Meaning::YCbCr),
            (8, 3, []) if self.bits == 8 && is_unsigned && is_first_high => Some(Meaning::Lab),
            _ => None,
        }
    }

    /// Gray of more than 8 bits, which Pillow does not invert.
    fn number(&self) -> Option<NumberType> {
        let (is_little, is_black_zero) = (self.order == ByteOrder::Little, self.photometric == 1);
        match (self.bits, self.sample_format, self.fill_order) {
            (12, UNSIGNED, 1) if is_little && is_black_zero => Some(NumberType::U12),
            (16, UNSIGNED, 1) if is_little || is_black_zero => Some(NumberType::U16),
            (16, UNSIGNED, 2) if is_little && is_black_zero => Some(NumberType::U16),
            (16, SIGNED, 1) if is_black_zero => Some(NumberType::I16),
            // Pillow has no unsigned mode of 32 bits.
            (32, UNSIGNED, 1) if is_little && is_black_zero => Some(NumberType::I32),
            (32, SIGNED, 1) if is_black_zero => Some(NumberType::I32),
            (32, FLOAT, 1) => Some(NumberType::F32),
            _ => None,
        }
    }

    fn rgb(&self) -> Option<Meaning> {
        let is_premultiplied = match self.extra {
            [] => false,
            [UNSPECIFIED | STRAIGHT, ..] => false,
            [PREMULTIPLIED, ..] => true,
            [COREL_ALPHA] if self.bits == 8 => false,
            _ => return None,
        };
        let are_further_unspecified = self.extra.iter().skip(1).all(|&kind| kind == UNSPECIFIED);
        // Without ExtraSamples, a fourth sample is alpha.
        let has_fitting_count =
            self.samples == 3 + self.extra.len() as u64 || (self.samples == 4 && self.extra.is_empty());
        let has_fitting_bits = self.bits == 8 || (self.bits == 16 && self.samples <= 4);
        let is_supported = are_further_unspecified && has_fitting_count && has_fitting_bits;
        is_supported.then_some(Meaning::Rgb { is_premultiplied })
    }

    fn unsupported(&self) -> TiffError {
        let Self { photometric, samples, bits, .. } = self;
        let kind = match photometric {
            0 | 1 => "gray".to_owned(),
            2 => "RGB".to_owned(),
            3 => "palette".to_owned(),
            5 => "CMYK".to_owned(),
            6 => "YCbCr".to_owned(),
            8 => "LAB".to_owned(),
            other => format!("photometric interpretation {other}"),
        };
        let extra = if self.extra.is_empty() { String::new() } else { format!(" and extra samples {:?}", self.extra) };
        TiffError::Invalid(format!("{kind} pixels of {samples} samples of {bits} bits{extra} are not supported"))
    }
}

/// The values of a short field.
fn values<'a>(directory: &Directory<'_>, tag: u16, values: &'a mut [u64]) -> Result<&'a [u64], TiffError> {
    let Some(field) = directory.field(tag)? else { return Ok(&values[..0]) };
    if field.count() > values.len() {
        return Err(TiffError::Invalid(format!("its field {tag} has {} values", field.count())));
    }
    for (index, value) in values.iter_mut().enumerate() {
        *value = field.get(index).unwrap_or(0);
    }
    Ok(&values[..field.count()])
}

/// The value that a field has for all samples.
fn uniform(directory: &Directory<'_>, tag: u16, default: u64, what: &str) -> Result<u64, TiffError> {
    let Some(field) = directory.field(tag)? else { return Ok(default) };
    let first = field.get(0).unwrap_or(default);
    match (1..field.count()).all(|index| field.get(index) == Some(first)) {
        true => Ok(first),
        false => Err(TiffError::Invalid(format!("samples with different {what} are not supported"))),
    }
}

/// The subsampling of chroma.
fn subsampling(directory: &Directory<'_>, compression: Compression, is_separate: bool) -> Result<(u8, u8), TiffError> {
    let field = directory.field(tag::YCBCR_SUBSAMPLING)?;
    let value = |index, default| field.and_then(|field| field.get(index)).unwrap_or(default);
    // Pillow ignores the field in uncompressed files, and libtiff assumes 2 x 2 where it is absent.
    let default = if compression == Compression::None { 1 } else { 2 };
    let is_interleaved = compression != Compression::None && !is_separate;
    match (value(0, default), value(1, default)) {
        (1, 1) => Ok((1, 1)),
        (horizontal @ (1 | 2 | 4), vertical @ (1 | 2 | 4)) if is_interleaved && vertical <= horizontal => {
            Ok((horizontal as u8, vertical as u8))
        }
        (1, 2) if is_interleaved => Ok((1, 2)),
        (horizontal, vertical) => {
            Err(TiffError::Invalid(format!("chroma subsampling of {horizontal} x {vertical} is not supported here")))
        }
    }
}
