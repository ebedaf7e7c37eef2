//! [`ImageTask`]: the preprocessing, labels, activation and embedding of an image model.

use super::activation::{Activation, ActivationHints};
use super::preprocess::{ImageProcessor, Layout, PreprocessConfig, PreprocessOverrides};
use crate::onnx::{Dim, ElementType, GraphInfo, MAX_TENSOR_ELEMENTS, TensorInfo};

/// The configuration of an image model: preprocessing before, labels and embedding after.
#[derive(Debug, Clone)]
pub(crate) struct ImageTask {
    pub(crate) processor: ImageProcessor,
    /// The label of each class, in the order of the scores.
    pub(crate) labels: Vec<String>,
    /// The function that turns the outputs into scores.
    pub(crate) activation: Activation,
    /// What selects the activation, besides the graph.
    pub(super) activation_hints: ActivationHints,
    pub(crate) embedding: Option<Embedding>,
    /// The source of the preprocessing: files, OPTIONS or defaults; a row of DESCRIBE MODEL.
    pub(crate) preprocessing_source: String,
    /// The source of the labels; a row of DESCRIBE MODEL.
    pub(crate) labels_source: String,
    /// The reason for the activation; a row of DESCRIBE MODEL.
    pub(crate) activation_source: String,
}

impl ImageTask {
    /// Whether a file or an option configures the image task.
    pub(super) fn is_configured(&self) -> bool {
        !self.labels.is_empty() || !self.preprocessing_source.starts_with(ASSUMED_PREFIX)
    }
}

/// The prefix of a source that is a default.
const ASSUMED_PREFIX: &str = "assumed: ";

/// The tensor that `embed` returns.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// The name in the graph.
    pub(crate) tensor: String,
    /// Elements per image.
    pub(crate) length: usize,
}

/// The image input of a graph.
///
/// # Errors
/// The reason why the graph has none.
pub(super) fn image_input(graph: &GraphInfo) -> Result<&TensorInfo, String> {
    let [input] = graph.inputs.as_slice() else {
        return Err(format!("it has {} inputs", graph.inputs.len()));
    };
    let is_image = input.dims.len() == 4
        && matches!(input.element_type, ElementType::F32 | ElementType::F16 | ElementType::U8)
        && [1, 3].into_iter().any(|axis| matches!(input.dims[axis], Dim::Fixed(3) | Dim::Named(_) | Dim::Unknown));
    if !is_image {
        return Err(format!("its input is {input}, and not [images, 3, height, width] or [images, height, width, 3]"));
    }
    Ok(input)
}

/// The preprocessing of a graph, from its files or the shape of its input, overridden by options.
///
/// # Errors
/// A message if the result does not match the input of the graph.
pub(super) fn image_processor(
    input: &TensorInfo,
    configured: Option<(PreprocessConfig, String)>,
    overrides: &PreprocessOverrides,
) -> Result<(ImageProcessor, String), String> {
    let layout = overrides.layout.unwrap_or(match (&input.dims[1], &input.dims[3]) {
        (Dim::Fixed(3), _) => Layout::Nchw,
        (_, Dim::Fixed(3)) => Layout::Nhwc,
        _ => Layout::Nchw,
    });
    let (height, width) = match layout {
        Layout::Nchw => (&input.dims[2], &input.dims[3]),
        Layout::Nhwc => (&input.dims[1], &input.dims[2]),
    };
    let fixed = |dim: &Dim| match dim {
        Dim::Fixed(length) => u32::try_from(*length).ok(),
        _ => None,
    };
    let (config, mut source) = configured.unwrap_or_else(|| {
        const DEFAULT_INPUT_SIZE: u32 = 224;
        let (default_width, default_height) =
            (fixed(width).unwrap_or(DEFAULT_INPUT_SIZE), fixed(height).unwrap_or(DEFAULT_INPUT_SIZE));
        let config = PreprocessConfig::imagenet(default_width, default_height);
        match input.element_type {
            // Graphs with uint8 input normalize inside.
            ElementType::U8 => {
                (config.unscaled(), format!("{ASSUMED_PREFIX}ImageNet resize and crop, pixel values 0 to 255"))
            }
            _ => (config, format!("{ASSUMED_PREFIX}ImageNet defaults")),
        }
    });
    let config = overrides.apply(PreprocessConfig { layout, ..config });
    if overrides.is_complete() {
        "OPTIONS".clone_into(&mut source);
    } else if !overrides.is_empty() {
        source = format!("OPTIONS, then {source}");
    }
    let processor = ImageProcessor::new(config).map_err(|reason| format!("preprocessing ({source}): {reason}"))?;
    if input.element_type == ElementType::U8 && !processor.is_u8_range() {
        return Err(format!(
            "its input is {input}, bytes, and preprocessing ({source}) gives floats; \
             OPTIONS ('rescale_factor' '1', 'mean' '0', 'std' '1') keeps pixel values"
        ));
    }
    if input.fixed_batch().is_some_and(|batch| batch.saturating_mul(processor.len()) > MAX_TENSOR_ELEMENTS) {
        return Err(format!("its input {input} is too large"));
    }
    let actual = [processor.width, processor.height];
    let required = [fixed(width), fixed(height)];
    if actual.iter().zip(required).any(|(actual, required)| required.is_some_and(|edge| edge as usize != *actual)) {
        let [width, height] = actual;
        return Err(format!(
            "preprocessing ({source}) gives images of {width} x {height} pixels, but its input is {input}; \
             set OPTIONS ('size' …, 'crop' …)"
        ));
    }
    Ok((processor, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_or_error(element_type: ElementType, dims: [Dim; 4]) -> String {
        let input = TensorInfo { name: "x".to_owned(), element_type, dims: dims.into() };
        image_processor(&input, None, &PreprocessOverrides::default())
            .map_or_else(|error| error, |(processor, _)| processor.config.to_string())
    }

    #[test]
    fn defaults_follow_the_input_shape() {
        let fixed = Dim::Fixed;
        assert_eq!(
            config_or_error(ElementType::U8, [Dim::Unknown, fixed(8), fixed(16), fixed(3)]),
            "resize shortest edge 18 (bilinear), crop 16 x 8, RGB, NHWC"
        );
        assert!(
            config_or_error(ElementType::F32, [Dim::Unknown, fixed(3), Dim::Unknown, Dim::Unknown])
                .starts_with("resize shortest edge 256"),
            "ImageNet defaults"
        );
    }

    #[test]
    fn oversized_batches_are_rejected() {
        let dims = [Dim::Fixed(100_000_000), Dim::Fixed(3), Dim::Fixed(224), Dim::Fixed(224)];
        assert_eq!(
            config_or_error(ElementType::F32, dims),
            "its input x float32 [100000000, 3, 224, 224] is too large"
        );
    }
}
