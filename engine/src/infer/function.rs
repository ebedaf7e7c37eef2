//! [`InferFunction`]: the functions that run a model, by name, with their documentation.

use datafusion::logical_expr::{DocSection, Documentation, ScalarUDF};

use super::udf::InferUdf;

/// A function that runs a model on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum InferFunction {
    Classify,
    ClassifyTopk,
    Embed,
    TryClassify,
    TryClassifyTopk,
    TryEmbed,
}

impl InferFunction {
    /// In the order of their names.
    pub(crate) const ALL: [Self; 6] =
        [Self::Classify, Self::ClassifyTopk, Self::Embed, Self::TryClassify, Self::TryClassifyTopk, Self::TryEmbed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::ClassifyTopk => "classify_topk",
            Self::Embed => "embed",
            Self::TryClassify => "try_classify",
            Self::TryClassifyTopk => "try_classify_topk",
            Self::TryEmbed => "try_embed",
        }
    }

    /// Whether a bad image is NULL, whatever the session says.
    pub(crate) fn is_try(self) -> bool {
        matches!(self, Self::TryClassify | Self::TryClassifyTopk | Self::TryEmbed)
    }

    /// Names of the arguments, in their order.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Classify => &["image", "model", "on_error"],
            Self::TryClassify => &["image", "model"],
            Self::ClassifyTopk => &["image", "k", "model", "on_error"],
            Self::TryClassifyTopk => &["image", "k", "model"],
            Self::Embed => &["image", "model", "normalize", "on_error"],
            Self::TryEmbed => &["image", "model", "normalize"],
        }
    }

    /// How a call is written, for messages.
    pub(crate) fn syntax(self) -> &'static str {
        match self {
            Self::Classify => "classify(image [, model => 'name'] [, on_error => 'null'])",
            Self::TryClassify => "try_classify(image [, model => 'name'])",
            Self::ClassifyTopk => "classify_topk(image [, k => 5] [, model => 'name'] [, on_error => 'null'])",
            Self::TryClassifyTopk => "try_classify_topk(image [, k => 5] [, model => 'name'])",
            Self::Embed => "embed(image [, model => 'name'] [, normalize => true] [, on_error => 'null'])",
            Self::TryEmbed => "try_embed(image [, model => 'name'] [, normalize => true])",
        }
    }

    /// The function that a call names, when it is one of these.
    pub(crate) fn of(function: &ScalarUDF) -> Option<Self> {
        function.inner().downcast_ref::<InferUdf>().map(InferUdf::function)
    }

    pub(super) fn documentation(self) -> Documentation {
        let (description, example) = match self {
            Self::Classify => (
                "The label of the class that the model finds most likely. NULL for NULL. An image that cannot be decoded fails the \
                 query with a message that names it; `on_error => 'null'`, `try_classify` and `SET ocelli.on_error = 'null'` give NULL \
                 instead, and `on_error => 'struct'` gives `STRUCT<value, error>`, with the reason for a bad image in `error`.",
                "SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet'",
            ),
            Self::ClassifyTopk => (
                "The `k` most likely classes with their probabilities (softmax), the most likely first: \
                 `LIST<STRUCT<label, score>>`. Fewer when the model has fewer classes. Bad images as for `classify`.",
                "SELECT uri, classify_topk(image, k => 3) AS labels FROM 'examples/data/photos.parquet'",
            ),
            Self::Embed => (
                "The vector before the model's last layer, a `FIXED_SIZE_LIST<FLOAT>`: pictures that look alike have vectors \
                 that are near. `normalize => true` scales it to length 1. Bad images as for `classify`.",
                "SELECT uri, embed(image, normalize => true) AS vector FROM 'examples/data/photos.parquet'",
            ),
            Self::TryClassify => (
                "Like `classify`, with NULL for an image that cannot be decoded.",
                "SELECT uri, try_classify(image) AS label FROM 'examples/data/mixed.parquet'",
            ),
            Self::TryClassifyTopk => (
                "Like `classify_topk`, with NULL for an image that cannot be decoded.",
                "SELECT uri, try_classify_topk(image, k => 1) AS labels FROM 'examples/data/mixed.parquet'",
            ),
            Self::TryEmbed => (
                "Like `embed`, with NULL for an image that cannot be decoded.",
                "SELECT uri, try_embed(image) AS vector FROM 'examples/data/mixed.parquet'",
            ),
        };
        let section = DocSection { label: "ModelRegistry", ..Default::default() };
        let document = Documentation::builder(section, description, self.syntax()).with_sql_example(example);
        let names = self.parameters().iter();
        names.fold(document, |document, name| document.with_argument(*name, explain(name))).build()
    }
}

/// What an argument is for.
fn explain(parameter: &str) -> &'static str {
    match parameter {
        "image" => {
            "An encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF): Binary, LargeBinary or BinaryView. Or text: its path or the URI in \
                    an object store of the session, from where it is read"
        }
        "k" => "How many classes, a constant; 5 when it is left out",
        "model" => "The name of a model, a constant; `ocelli.model` when it is left out",
        "normalize" => "Whether the vector is scaled to length 1, a constant; false when it is left out",
        _ => {
            "What a bad image does, a constant: 'raise' an error, give 'null', or 'struct' for `STRUCT<value, error>`; \
              `ocelli.on_error` when it is left out"
        }
    }
}
