//! [`InferCall`]: what a call asks for, read from its constant arguments.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::scalar::ScalarValue;

use super::function::InferFunction;
use crate::error::Error;
use crate::model::Model;
use crate::options::OnError;

/// Everything of a call but its image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InferCall {
    /// `None` is the session's.
    pub(crate) model: Option<String>,
    pub(crate) task: Task,
    /// What a bad image does; `None` is what the session says.
    pub(crate) on_error: Option<OnError>,
    /// A bad image is neither an error nor NULL, but data: `STRUCT<value, error>`.
    pub(crate) error: bool,
}

/// What is wanted of the model for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// The label of the best class.
    Classify,
    /// The labels and probabilities of the best `k`.
    ClassifyTopk { k: usize },
    /// The vector before the last layer.
    Embed { normalize: bool },
}

impl Task {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::ClassifyTopk { .. } => "classify_topk",
            Self::Embed { .. } => "embed",
        }
    }

    /// The type of its values.
    ///
    /// # Errors
    /// When the model cannot do it.
    pub(crate) fn data_type(self, model: &Model) -> Result<DataType, Error> {
        if model.vision()?.labels.is_empty() && !matches!(self, Self::Embed { .. }) {
            let reason = "it has no classes, embed takes it".to_owned();
            return Err(Error::Model { model: model.name().to_owned(), reason });
        }
        Ok(match self {
            Self::Classify => DataType::Utf8,
            Self::ClassifyTopk { .. } => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Struct(topk_struct_fields()), false)))
            }
            Self::Embed { .. } => {
                let length = i32::try_from(model.embedding()?.length).unwrap_or(i32::MAX);
                DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Float32, false)), length)
            }
        })
    }
}

/// The fields of one class in `classify_topk`.
pub(crate) fn topk_struct_fields() -> Fields {
    Fields::from(vec![Field::new("label", DataType::Utf8, false), Field::new("score", DataType::Float32, false)])
}

/// The fields of a result whose errors are data.
pub(crate) fn result_struct_fields(value: DataType) -> Fields {
    Fields::from(vec![Field::new("value", value, true), Field::new("error", DataType::Utf8, true)])
}

impl InferCall {
    /// Reads the arguments behind the image; `None` for one that is no constant. NULL leaves an argument out.
    ///
    /// # Errors
    /// One sentence for an argument that is missing, of another type, or too much.
    pub(crate) fn parse(function: InferFunction, arguments: &[Option<ScalarValue>]) -> Result<Self, Error> {
        let refuse = |problem: String| Error::InvalidArguments { syntax: function.syntax(), problem };
        let names = &function.parameters()[1..];
        if arguments.len() > names.len() {
            return Err(refuse(format!("got {} arguments", arguments.len() + 1)));
        }
        let (mut model, mut k, mut normalize, mut on_error, mut error) = (None, 5, false, None, false);
        for (&name, value) in names.iter().zip(arguments) {
            let Some(value) = value else {
                return Err(refuse(match name {
                    "model" => "the model's name must be written as text, in quotes".to_owned(),
                    _ => format!("{name} must be written as a constant"),
                }));
            };
            if value.is_null() {
                continue;
            }
            match (name, value) {
                ("model", ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
                    model = Some(text.clone());
                }
                ("model", _) => return Err(refuse(format!("the model's name must be text, got {value}"))),
                ("k", ScalarValue::Int64(Some(number))) if *number > 0 => {
                    k = usize::try_from(*number).unwrap_or(usize::MAX);
                }
                ("k", _) => return Err(refuse(format!("k must be a whole number above 0, got {value}"))),
                ("normalize", ScalarValue::Boolean(Some(is))) => normalize = *is,
                ("normalize", _) => return Err(refuse(format!("normalize must be true or false, got {value}"))),
                (_, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))
                    if text.eq_ignore_ascii_case("struct") =>
                {
                    error = true;
                }
                (_, value) => match value.try_as_str().flatten().and_then(OnError::parse) {
                    Some(parsed) => on_error = Some(parsed),
                    None => return Err(refuse(format!("on_error must be 'raise', 'null' or 'struct', got {value}"))),
                },
            }
        }
        let task = match function {
            InferFunction::Classify | InferFunction::TryClassify => Task::Classify,
            InferFunction::ClassifyTopk | InferFunction::TryClassifyTopk => Task::ClassifyTopk { k },
            InferFunction::Embed | InferFunction::TryEmbed => Task::Embed { normalize },
        };
        if function.is_try() {
            on_error = Some(OnError::Null);
        }
        Ok(Self { model, task, on_error, error })
    }

    /// The type of the call.
    ///
    /// # Errors
    /// When the model cannot do it.
    pub(crate) fn data_type(&self, model: &Model) -> Result<DataType, Error> {
        let value = self.task.data_type(model)?;
        Ok(if self.error { DataType::Struct(result_struct_fields(value)) } else { value })
    }
}

/// As it is read in plans: `classify`, `classify_topk(k=5)`.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ClassifyTopk { k } => write!(f, "(k={k})"),
            Self::Embed { normalize: true } => f.write_str("(normalized)"),
            Self::Classify | Self::Embed { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(function: InferFunction, arguments: &[ScalarValue]) -> Result<InferCall, String> {
        let arguments: Vec<_> = arguments.iter().cloned().map(Some).collect();
        InferCall::parse(function, &arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn null_leaves_an_argument_out() {
        let call = parse(InferFunction::ClassifyTopk, &[ScalarValue::Int64(None), ScalarValue::from("m")]).unwrap();
        assert_eq!((call.task, call.model.as_deref()), (Task::ClassifyTopk { k: 5 }, Some("m")));
    }

    #[test]
    fn bad_images_raise_or_are_null_or_data() {
        let on_error = |function, text: &str| {
            let call = parse(function, &[ScalarValue::Null, ScalarValue::from(text)])?;
            Ok::<_, String>((call.on_error, call.error))
        };
        assert_eq!(on_error(InferFunction::Classify, "NULL"), Ok((Some(OnError::Null), false)));
        assert_eq!(on_error(InferFunction::Classify, "struct"), Ok((None, true)));
        let error = on_error(InferFunction::Classify, "ignore").unwrap_err();
        assert!(error.ends_with("on_error must be 'raise', 'null' or 'struct', got ignore"), "{error}");
        assert_eq!(parse(InferFunction::TryClassify, &[]).unwrap().on_error, Some(OnError::Null));
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (function, argument, problem) in [
            (InferFunction::Classify, ScalarValue::from(5_i64), "the model's name must be text, got 5"),
            (InferFunction::ClassifyTopk, ScalarValue::from(0_i64), "k must be a whole number above 0, got 0"),
            (InferFunction::Embed, ScalarValue::from(1_i64), "the model's name must be text, got 1"),
            (InferFunction::ClassifyTopk, ScalarValue::from("x"), "k must be a whole number above 0, got x"),
        ] {
            let error = parse(function, &[argument]).unwrap_err();
            assert!(error.ends_with(problem), "{error}");
        }
        let error = InferCall::parse(InferFunction::Classify, &[None]).unwrap_err().to_string();
        assert!(error.ends_with("must be written as text, in quotes"), "{error}");
        let error = parse(InferFunction::Embed, &[const { ScalarValue::Null }; 4]).unwrap_err();
        assert!(error.ends_with("got 5 arguments"), "{error}");
    }
}
