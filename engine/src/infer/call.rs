//! [`InferCall`]: the task of a call, parsed from its constant arguments.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::scalar::ScalarValue;

use super::function::InferFunction;
use crate::error::Error;
use crate::model::Model;
use crate::options::OnError;

/// The constant arguments of a call: everything but the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InferCall {
    /// The name of the model. `None`: that of the session.
    pub(crate) model: Option<String>,
    pub(crate) task: Task,
    /// The effect of an invalid image. `None`: that of the session.
    pub(crate) on_error: Option<OnError>,
    /// Errors are returned as data: `STRUCT<value, error>`.
    pub(crate) errors_as_struct: bool,
}

/// The inference task: what is computed per image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// The top-1 label.
    Classify,
    /// The labels with at least this score.
    ClassifyLabels { min_score: MinScore },
    /// The top-k labels with their scores.
    ClassifyTopk { k: usize },
    /// The embedding: the input vector of the last layer.
    Embed { normalize: bool },
}

impl Task {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::ClassifyLabels { .. } => "classify_labels",
            Self::ClassifyTopk { .. } => "classify_topk",
            Self::Embed { .. } => "embed",
        }
    }

    /// The type of the result, without the struct of [`result_struct_fields`].
    ///
    /// # Errors
    /// When the model does not support the task.
    pub(crate) fn data_type(self, model: &Model) -> Result<DataType, Error> {
        if model.image_task()?.labels.is_empty() && !matches!(self, Self::Embed { .. }) {
            let reason = "it has no classes; use embed".to_owned();
            return Err(Error::Model { model: model.name().to_owned(), reason });
        }
        Ok(match self {
            Self::Classify => DataType::Utf8,
            Self::ClassifyLabels { .. } | Self::ClassifyTopk { .. } => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Struct(label_struct_fields()), false)))
            }
            Self::Embed { .. } => {
                let length = i32::try_from(model.embedding()?.length).unwrap_or(i32::MAX);
                DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Float32, false)), length)
            }
        })
    }
}

/// The threshold of `classify_labels`. NaN is not a threshold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinScore(pub(crate) f32);

impl MinScore {
    /// The default of `classify_labels`.
    const DEFAULT: Self = Self(0.5);

    /// Parses a number of any type. `None` for another value and for NaN.
    fn parse(value: &ScalarValue) -> Option<Self> {
        if !value.data_type().is_numeric() {
            return None;
        }
        match value.cast_to(&DataType::Float32) {
            Ok(ScalarValue::Float32(Some(score))) if !score.is_nan() => Some(Self(score)),
            _ => None,
        }
    }
}

impl PartialEq for MinScore {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MinScore {}

impl PartialOrd for MinScore {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MinScore {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for MinScore {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// The fields of one class in the results of `classify_topk` and `classify_labels`. They are nullable, because `get_field` of DataFusion
/// returns the value of a field also if the struct is NULL, as it is for an index after the end of the list.
pub(crate) fn label_struct_fields() -> Fields {
    Fields::from(vec![Field::new("label", DataType::Utf8, true), Field::new("score", DataType::Float32, true)])
}

/// The fields of a result with `on_error => 'struct'`.
pub(crate) fn result_struct_fields(value: DataType) -> Fields {
    Fields::from(vec![Field::new("value", value, true), Field::new("error", DataType::Utf8, true)])
}

impl InferCall {
    /// Parses the arguments that follow the image. `None` is an argument that is not a constant; NULL counts as omitted.
    ///
    /// # Errors
    /// When an argument is not a constant, has an invalid type or value, or there are too many arguments.
    pub(crate) fn parse(function: InferFunction, arguments: &[Option<ScalarValue>]) -> Result<Self, Error> {
        let invalid = |problem: String| Error::InvalidArguments { syntax: function.syntax(), problem };
        let names = &function.parameters()[1..];
        if arguments.len() > names.len() {
            return Err(invalid(format!("got {} arguments", arguments.len() + 1)));
        }
        let (mut model, mut k, mut normalize, mut on_error, mut errors_as_struct) = (None, 5, false, None, false);
        let mut min_score = MinScore::DEFAULT;
        for (&name, value) in names.iter().zip(arguments) {
            let Some(value) = value else {
                return Err(invalid(match name {
                    "model" => "the model name must be a string constant, not a column or a parameter".to_owned(),
                    _ => format!("{name} must be a constant, not a column or a parameter"),
                }));
            };
            if value.is_null() {
                continue;
            }
            match (name, value) {
                ("model", ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) => {
                    model = Some(name.clone());
                }
                ("model", _) => return Err(invalid(format!("the model name must be a string, got {value}"))),
                ("k", ScalarValue::Int64(Some(count))) if *count > 0 => {
                    k = usize::try_from(*count).unwrap_or(usize::MAX);
                }
                ("k", _) => return Err(invalid(format!("k must be a positive integer, got {value}"))),
                ("min_score", value) => match MinScore::parse(value) {
                    Some(score) => min_score = score,
                    None => return Err(invalid(format!("min_score must be a number, got {value}"))),
                },
                ("normalize", ScalarValue::Boolean(Some(value))) => normalize = *value,
                ("normalize", _) => return Err(invalid(format!("normalize must be true or false, got {value}"))),
                (_, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))
                    if text.eq_ignore_ascii_case("struct") =>
                {
                    errors_as_struct = true;
                }
                (_, value) => match value.try_as_str().flatten().and_then(OnError::parse) {
                    Some(parsed) => on_error = Some(parsed),
                    None => return Err(invalid(format!("on_error must be 'raise', 'null' or 'struct', got {value}"))),
                },
            }
        }
        let task = match function {
            InferFunction::Classify | InferFunction::TryClassify => Task::Classify,
            InferFunction::ClassifyLabels | InferFunction::TryClassifyLabels => Task::ClassifyLabels { min_score },
            InferFunction::ClassifyTopk | InferFunction::TryClassifyTopk => Task::ClassifyTopk { k },
            InferFunction::Embed | InferFunction::TryEmbed => Task::Embed { normalize },
        };
        if function.is_try() {
            on_error = Some(OnError::Null);
        }
        Ok(Self { model, task, on_error, errors_as_struct })
    }

    /// The return type of the call.
    ///
    /// # Errors
    /// When the model does not support the task.
    pub(crate) fn data_type(&self, model: &Model) -> Result<DataType, Error> {
        let value = self.task.data_type(model)?;
        Ok(if self.errors_as_struct { DataType::Struct(result_struct_fields(value)) } else { value })
    }
}

/// As displayed in plans: `classify`, `classify_labels(min_score=0.5)`, `classify_topk(k=5)`, `embed(normalized)`.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ClassifyLabels { min_score: MinScore(score) } => write!(f, "(min_score={score})"),
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
    fn null_arguments_count_as_omitted() {
        let call = parse(InferFunction::ClassifyTopk, &[ScalarValue::Int64(None), ScalarValue::from("m")]).unwrap();
        assert_eq!((call.task, call.model.as_deref()), (Task::ClassifyTopk { k: 5 }, Some("m")));
    }

    #[test]
    fn a_threshold_is_a_number_of_any_type() {
        let min_score = |value: ScalarValue| {
            let call = parse(InferFunction::ClassifyLabels, &[value, ScalarValue::from("m")])?;
            assert_eq!(call.model.as_deref(), Some("m"));
            Ok::<_, String>(call.task.to_string())
        };
        for (value, expected) in [
            (ScalarValue::Float64(Some(0.9)), "classify_labels(min_score=0.9)"),
            (ScalarValue::Float32(Some(-1.5)), "classify_labels(min_score=-1.5)"),
            (ScalarValue::Int64(Some(1)), "classify_labels(min_score=1)"),
            (ScalarValue::Decimal128(Some(25), 3, 2), "classify_labels(min_score=0.25)"),
            (ScalarValue::Float64(None), "classify_labels(min_score=0.5)"),
        ] {
            assert_eq!(min_score(value), Ok(expected.to_owned()));
        }
        for (value, problem) in [
            (ScalarValue::from("0.5"), "min_score must be a number, got 0.5"),
            (ScalarValue::from(true), "min_score must be a number, got true"),
            (ScalarValue::Float64(Some(f64::NAN)), "min_score must be a number, got NaN"),
        ] {
            let error = min_score(value).unwrap_err();
            assert!(error.ends_with(problem), "{error}");
        }
        let task = |score| Task::ClassifyLabels { min_score: MinScore(score) };
        assert!(task(0.5) == task(0.5) && task(0.5) < task(0.75) && task(-0.0) != task(0.0));
    }

    #[test]
    fn on_error_selects_error_null_or_struct() {
        let on_error = |function, value: &str| {
            let call = parse(function, &[ScalarValue::Null, ScalarValue::from(value)])?;
            Ok::<_, String>((call.on_error, call.errors_as_struct))
        };
        assert_eq!(on_error(InferFunction::Classify, "NULL"), Ok((Some(OnError::Null), false)));
        assert_eq!(on_error(InferFunction::Classify, "struct"), Ok((None, true)));
        let error = on_error(InferFunction::Classify, "ignore").unwrap_err();
        assert!(error.ends_with("on_error must be 'raise', 'null' or 'struct', got ignore"), "{error}");
        assert_eq!(parse(InferFunction::TryClassify, &[]).unwrap().on_error, Some(OnError::Null));
    }

    #[test]
    fn invalid_arguments_are_named() {
        for (function, argument, problem) in [
            (InferFunction::Classify, ScalarValue::from(5_i64), "the model name must be a string, got 5"),
            (InferFunction::ClassifyTopk, ScalarValue::from(0_i64), "k must be a positive integer, got 0"),
            (InferFunction::Embed, ScalarValue::from(1_i64), "the model name must be a string, got 1"),
            (InferFunction::ClassifyTopk, ScalarValue::from("x"), "k must be a positive integer, got x"),
        ] {
            let error = parse(function, &[argument]).unwrap_err();
            assert!(error.ends_with(problem), "{error}");
        }
        let error = InferCall::parse(InferFunction::Classify, &[None]).unwrap_err().to_string();
        assert!(error.ends_with("the model name must be a string constant, not a column or a parameter"), "{error}");
        let error = parse(InferFunction::Embed, &[const { ScalarValue::Null }; 4]).unwrap_err();
        assert!(error.ends_with("got 5 arguments"), "{error}");
    }
}
