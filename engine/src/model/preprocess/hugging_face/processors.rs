//! [`Processor`]: an image processor of transformers with its defaults.

use ocelli_udf::image::Resampling;

use crate::model::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Resize};

/// An image processor with the defaults of its class in transformers 5.
#[derive(Debug, Clone, Copy)]
pub(super) struct Processor {
    pub(super) kind: Kind,
    /// The name without the suffix `ImageProcessor`.
    name: &'static str,
    /// Whether a scalar `size` is the shortest edge, rather than both edges.
    pub(super) is_shortest: bool,
    pub(super) size: Option<Resize>,
    pub(super) crops: bool,
    /// The width and height of a crop.
    pub(super) crop_size: Option<(u32, u32)>,
    pub(super) filter: Resampling,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// The operations of a processor that differ from those of the base class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Standard,
    /// Crops an enlarged image below 384 pixels, and does not keep the aspect ratio from there on.
    ConvNext,
    /// Divides by the standard deviation twice, and can subtract 1.
    EfficientNet,
    /// Enlarges `size` by 256 / 224.
    Levit,
    /// Flips the channels, and does not normalize.
    MobileVit,
    /// Enlarges `size` by 1 / `crop_pct`.
    PoolFormer,
    /// Does not crop.
    Segformer,
    /// The processor of a file is unknown, or not named.
    Unknown,
}

const HALF: [f32; 3] = [0.5; 3];
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The class attributes in `transformers.models.*.image_processing_pil_*`, of version 5.24.
static PROCESSORS: [Processor; 16] = [
    shortest("Bit", 224, Resampling::Bicubic).crop(224).normalize(CLIP_MEAN, CLIP_STD),
    shortest("ChineseCLIP", 224, Resampling::Bicubic).crop(224).normalize(CLIP_MEAN, CLIP_STD),
    shortest("CLIP", 224, Resampling::Bicubic).crop(224).normalize(CLIP_MEAN, CLIP_STD),
    shortest("ConvNext", 384, Resampling::Bicubic).kind(Kind::ConvNext),
    shortest("Levit", 224, Resampling::Bicubic).crop(224).normalize(IMAGENET_MEAN, IMAGENET_STD).kind(Kind::Levit),
    shortest("MobileNet", 256, Resampling::Bilinear).crop(224),
    shortest("MobileViT", 224, Resampling::Bicubic).crop(256).kind(Kind::MobileVit),
    shortest("PoolFormer", 224, Resampling::Bicubic)
        .crop(224)
        .normalize(IMAGENET_MEAN, IMAGENET_STD)
        .kind(Kind::PoolFormer),
    Processor { crop_size: Some((224, 224)), ..square("Beit", 224, Resampling::Bicubic) },
    square("Blip", 384, Resampling::Bicubic).normalize(CLIP_MEAN, CLIP_STD),
    square("DeiT", 256, Resampling::Bicubic).crop(224),
    Processor { crop_size: Some((289, 289)), ..square("EfficientNet", 346, Resampling::Bicubic) }
        .kind(Kind::EfficientNet),
    square("Pvt", 224, Resampling::Bicubic).normalize(IMAGENET_MEAN, IMAGENET_STD),
    square("Segformer", 512, Resampling::Bilinear).normalize(IMAGENET_MEAN, IMAGENET_STD).kind(Kind::Segformer),
    Processor { is_shortest: true, ..square("Siglip", 224, Resampling::Bicubic) },
    square("ViT", 224, Resampling::Bilinear),
];

/// For files that name no processor, or an unknown one: `size` has no default.
static UNKNOWN: Processor = Processor {
    size: None,
    ..square("", 0, Resampling::Bilinear).normalize(IMAGENET_MEAN, IMAGENET_STD).kind(Kind::Unknown)
};

/// A processor that resizes to a square.
const fn square(name: &'static str, edge: u32, filter: Resampling) -> Processor {
    Processor {
        kind: Kind::Standard,
        name,
        is_shortest: false,
        size: Some(Resize::Exact(edge, edge)),
        crops: false,
        crop_size: None,
        filter,
        mean: HALF,
        std: HALF,
    }
}

/// A processor that resizes the shortest edge.
const fn shortest(name: &'static str, edge: u32, filter: Resampling) -> Processor {
    Processor { is_shortest: true, size: Some(Resize::ShortestEdge(edge)), ..square(name, edge, filter) }
}

impl Processor {
    const fn crop(self, edge: u32) -> Self {
        Self { crops: true, crop_size: Some((edge, edge)), ..self }
    }

    const fn normalize(self, mean: [f32; 3], std: [f32; 3]) -> Self {
        Self { mean, std, ..self }
    }

    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The processor with a name, `ViTImageProcessor` or, in older files, `ViTFeatureExtractor`.
    pub(super) fn find(name: &str) -> &'static Self {
        let base =
            name.split_once("ImageProcessor").or(name.split_once("FeatureExtractor")).map_or(name, |(base, _)| base);
        // MobileNet has two versions.
        let base = base.trim_end_matches("V1").trim_end_matches("V2");
        PROCESSORS.iter().find(|processor| processor.name.eq_ignore_ascii_case(base)).unwrap_or(&UNKNOWN)
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_several_forms() {
        for (name, expected) in [
            ("ViTImageProcessor", "ViT"),
            ("ViTFeatureExtractor", "ViT"),
            ("MobileNetV1ImageProcessor", "MobileNet"),
            ("CLIPImageProcessorFast", "CLIP"),
            ("siglipImageProcessor", "Siglip"),
            ("PoolFormerFeatureExtractor", "PoolFormer"),
        ] {
            assert_eq!(Processor::find(name).name, expected);
        }
        for name in ["ViTHybridImageProcessor", "ImageProcessor", ""] {
            assert!(Processor::find(name).is_unknown(), "{name}");
        }
    }
}
