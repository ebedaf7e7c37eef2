//! [`InferFunction`]: the functions that run a model on an image, with their parameters and documentation.

use datafusion::logical_expr::{DocSection, Documentation};

/// A function that runs a model on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum InferFunction {
    Classify,
    ClassifyLabels,
    ClassifyTopk,
    Embed,
    TryClassify,
    TryClassifyLabels,
    TryClassifyTopk,
    TryEmbed,
}

impl InferFunction {
    /// All functions, sorted by name.
    pub(crate) const ALL: [Self; 8] = [
        Self::Classify,
        Self::ClassifyLabels,
        Self::ClassifyTopk,
        Self::Embed,
        Self::TryClassify,
        Self::TryClassifyLabels,
        Self::TryClassifyTopk,
        Self::TryEmbed,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::ClassifyLabels => "classify_labels",
            Self::ClassifyTopk => "classify_topk",
            Self::Embed => "embed",
            Self::TryClassify => "try_classify",
            Self::TryClassifyLabels => "try_classify_labels",
            Self::TryClassifyTopk => "try_classify_topk",
            Self::TryEmbed => "try_embed",
        }
    }

    /// Whether an invalid image gives NULL regardless of `ocelli.on_error`.
    pub(crate) fn is_try(self) -> bool {
        matches!(self, Self::TryClassify | Self::TryClassifyLabels | Self::TryClassifyTopk | Self::TryEmbed)
    }

    /// The parameter names, in order.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Classify => &["image", "model", "on_error"],
            Self::TryClassify => &["image", "model"],
            Self::ClassifyLabels => &["image", "min_score", "model", "on_error"],
            Self::TryClassifyLabels => &["image", "min_score", "model"],
            Self::ClassifyTopk => &["image", "k", "model", "on_error"],
            Self::TryClassifyTopk => &["image", "k", "model"],
            Self::Embed => &["image", "model", "normalize", "on_error"],
            Self::TryEmbed => &["image", "model", "normalize"],
        }
    }

    /// The syntax of a call, for messages and documentation.
    pub(crate) fn syntax(self) -> &'static str {
        match self {
            Self::Classify => "classify(image [, model => 'name'] [, on_error => 'null'])",
            Self::TryClassify => "try_classify(image [, model => 'name'])",
            Self::ClassifyLabels => {
                "classify_labels(image [, min_score => 0.5] [, model => 'name'] [, on_error => 'null'])"
            }
            Self::TryClassifyLabels => "try_classify_labels(image [, min_score => 0.5] [, model => 'name'])",
            Self::ClassifyTopk => "classify_topk(image [, k => 5] [, model => 'name'] [, on_error => 'null'])",
            Self::TryClassifyTopk => "try_classify_topk(image [, k => 5] [, model => 'name'])",
            Self::Embed => "embed(image [, model => 'name'] [, normalize => true] [, on_error => 'null'])",
            Self::TryEmbed => "try_embed(image [, model => 'name'] [, normalize => true])",
        }
    }

    pub(super) fn documentation(self) -> Documentation {
        let (description, example) = match self {
            Self::Classify => (
                "The top-1 label. NULL if the image is NULL. An image that cannot be decoded fails the query, and the message names it; \
                 `on_error => 'null'`, `try_classify` and `SET ocelli.on_error = 'null'` return NULL instead, and \
                 `on_error => 'struct'` returns `STRUCT<value, error>` with the reason in `error`.",
                "SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet'",
            ),
            Self::ClassifyLabels => (
                "The labels with a score of at least `min_score`, in descending order: `LIST<STRUCT<label, score>>`, empty if there \
                 are none; for models whose labels do not exclude each other. The scores are those of `classify_topk`; one that is NaN \
                 is never included. Invalid images are handled as by `classify`.",
                "SELECT uri, classify_labels(image, min_score => 0.1) AS labels FROM 'examples/data/photos.parquet'",
            ),
            Self::ClassifyTopk => (
                "The top-k labels with their scores in descending order: `LIST<STRUCT<label, score>>`. The scores are the outputs of the \
                 model after softmax or sigmoid, or unchanged, as `DESCRIBE MODEL` says (`activation`); NaN is last. The list is \
                 shorter if the model has fewer than `k` classes. Invalid images are handled as by `classify`.",
                "SELECT uri, classify_topk(image, k => 3) AS labels FROM 'examples/data/photos.parquet'",
            ),
            Self::Embed => (
                "The embedding of an image, a `FIXED_SIZE_LIST<FLOAT>`: the input vector of the model's last layer. Similar images have \
                 nearby vectors. `normalize => true` scales the vector to unit L2 norm. Invalid images are handled as by `classify`.",
                "SELECT uri, embed(image, normalize => true) AS vector FROM 'examples/data/photos.parquet'",
            ),
            Self::TryClassify => (
                "Like `classify`, but returns NULL for an image that cannot be decoded.",
                "SELECT uri, try_classify(image) AS label FROM 'examples/data/mixed.parquet'",
            ),
            Self::TryClassifyLabels => (
                "Like `classify_labels`, but returns NULL for an image that cannot be decoded.",
                "SELECT uri, try_classify_labels(image, min_score => 0.1) AS labels FROM 'examples/data/mixed.parquet'",
            ),
            Self::TryClassifyTopk => (
                "Like `classify_topk`, but returns NULL for an image that cannot be decoded.",
                "SELECT uri, try_classify_topk(image, k => 1) AS labels FROM 'examples/data/mixed.parquet'",
            ),
            Self::TryEmbed => (
                "Like `embed`, but returns NULL for an image that cannot be decoded.",
                "SELECT uri, try_embed(image) AS vector FROM 'examples/data/mixed.parquet'",
            ),
        };
        let section = DocSection { label: "Models", ..Default::default() };
        let documentation = Documentation::builder(section, description, self.syntax()).with_sql_example(example);
        let names = self.parameters().iter();
        names.fold(documentation, |builder, name| builder.with_argument(*name, parameter_doc(name))).build()
    }
}

/// The documentation of a parameter.
fn parameter_doc(parameter: &str) -> &'static str {
    match parameter {
        "image" => {
            "An encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) as Binary, LargeBinary or BinaryView; or a string, the path of an \
             image file or its URI in an object store of the session"
        }
        "k" => "The maximum number of labels, a constant; default 5",
        "min_score" => "The minimum score of a label, a constant; default 0.5",
        "model" => "The name of a model, a constant; default `ocelli.model`",
        "normalize" => "Whether the vector is scaled to unit L2 norm, a constant; default false",
        _ => {
            "The effect of an invalid image, a constant: 'raise' fails the query, 'null' returns NULL, 'struct' returns \
             `STRUCT<value, error>`; default `ocelli.on_error`"
        }
    }
}
