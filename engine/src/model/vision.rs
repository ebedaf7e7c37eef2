//! [`Vision`]: how a model looks at pictures, and what it says of them.

use super::LARGEST_TENSOR;
use super::options::ModelOptions;
use super::preprocess::{Layout, Preprocess, Recipe};
use crate::onnx::{Dim, Element, Graph, TensorInfo};

/// Everything between a picture and what a user sees of a model.
#[derive(Debug, Clone)]
pub(crate) struct Vision {
    pub(crate) preprocess: Preprocess,
    /// One name for each class, in the order of the model's scores.
    pub(crate) labels: Vec<String>,
    /// Whether its scores are probabilities.
    pub(crate) is_softmaxed: bool,
    pub(crate) embedding: Option<Embedding>,
    /// Where the preprocessing comes from.
    pub(crate) preprocess_origin: String,
    /// Where the labels come from.
    pub(crate) labels_origin: String,
}

impl Vision {
    /// Whether a file or an option says something about pictures.
    pub(super) fn is_configured(&self) -> bool {
        !self.labels.is_empty() || !self.preprocess_origin.starts_with(ASSUMED)
    }
}

/// The beginning of an origin that is none.
const ASSUMED: &str = "assumed: ";

/// The tensor before the last layer.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// Its name in the graph.
    pub(crate) tensor: String,
    /// Numbers an image.
    pub(crate) length: usize,
}

/// Whether a graph looks at pictures.
///
/// # Errors
/// Why it does not.
pub(super) fn looks_at_pictures(graph: &Graph) -> Result<&TensorInfo, String> {
    let [input] = graph.inputs.as_slice() else {
        return Err(format!("it has {} inputs", graph.inputs.len()));
    };
    let is_image = input.dims.len() == 4
        && matches!(input.element, Element::F32 | Element::F16 | Element::U8)
        && [1, 3].into_iter().any(|axis| matches!(input.dims[axis], Dim::Fixed(3) | Dim::Named(_) | Dim::Unknown));
    if !is_image {
        return Err(format!("its input is {input}, and not [images, 3, height, width] or [images, height, width, 3]"));
    }
    Ok(input)
}

/// The recipe for a graph, from its files or what its input tells, with a user's changes.
///
/// # Errors
/// One sentence when the result does not fit the graph.
pub(super) fn preprocess(
    input: &TensorInfo,
    known: Option<(Recipe, String)>,
    options: &ModelOptions,
) -> Result<(Preprocess, String), String> {
    let layout = options.layout.unwrap_or(match (&input.dims[1], &input.dims[3]) {
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
    let (recipe, mut origin) = known.unwrap_or_else(|| {
        const USUAL: u32 = 224;
        let sides = (fixed(width).unwrap_or(USUAL), fixed(height).unwrap_or(USUAL));
        let recipe = Recipe::imagenet(sides.0, sides.1);
        match input.element {
            // Whoever takes bytes scales them inside.
            Element::U8 => (recipe.unscaled(), format!("{ASSUMED}ImageNet's resize and crop, pixels as they are")),
            _ => (recipe, format!("{ASSUMED}ImageNet's")),
        }
    });
    let recipe = options.applied_to(Recipe { layout, ..recipe });
    if options.changes_recipe() {
        origin = format!("OPTIONS, then {origin}");
    }
    let preprocess = Preprocess::new(recipe).map_err(|reason| format!("preprocessing ({origin}): {reason}"))?;
    if input.element == Element::U8 && !preprocess.makes_bytes() {
        return Err(format!(
            "its input is {input}, bytes, and preprocessing ({origin}) makes other numbers; \
             OPTIONS ('rescale_factor' '1', 'mean' '0', 'std' '1') leaves pixels as they are"
        ));
    }
    if input.fixed_batch().is_some_and(|batch| batch.saturating_mul(preprocess.len()) > LARGEST_TENSOR) {
        return Err(format!("its input is {input}, more than can be given to it at once"));
    }
    let ours = [preprocess.width, preprocess.height];
    let theirs = [fixed(width), fixed(height)];
    if ours.iter().zip(theirs).any(|(ours, theirs)| theirs.is_some_and(|theirs| theirs as usize != *ours)) {
        let [width, height] = ours;
        return Err(format!(
            "preprocessing ({origin}) makes pictures of {width} x {height} pixels, and its input is {input}; \
             OPTIONS ('size' …, 'crop' …) changes that"
        ));
    }
    Ok((preprocess, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe_or_error(element: Element, dims: [Dim; 4]) -> String {
        let input = TensorInfo { name: "x".to_owned(), element, dims: dims.into() };
        preprocess(&input, None, &ModelOptions::default())
            .map_or_else(|error| error, |(preprocess, _)| preprocess.recipe.to_string())
    }

    #[test]
    fn a_graph_says_what_it_takes() {
        let fixed = Dim::Fixed;
        assert_eq!(
            recipe_or_error(Element::U8, [Dim::Unknown, fixed(8), fixed(16), fixed(3)]),
            "resize shortest edge 18 (bilinear), crop 16 x 8, RGB, NHWC"
        );
        assert!(
            recipe_or_error(Element::F32, [Dim::Unknown, fixed(3), Dim::Unknown, Dim::Unknown])
                .starts_with("resize shortest edge 256"),
            "ImageNet's where nothing is said"
        );
    }

    #[test]
    fn endless_batches_are_refused() {
        let dims = [Dim::Fixed(100_000_000), Dim::Fixed(3), Dim::Fixed(224), Dim::Fixed(224)];
        assert_eq!(
            recipe_or_error(Element::F32, dims),
            "its input is x float32 [100000000, 3, 224, 224], more than can be given to it at once"
        );
    }
}
