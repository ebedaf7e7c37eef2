//! [`Activation`]: the function that turns the outputs of a model into scores, and [`ActivationHints`], which select it.

use std::fmt;

use crate::onnx::OutputActivation;

/// The function that is applied to the outputs of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// The outputs are the scores.
    None,
    /// Each class has a score of its own: several labels may apply to an image.
    Sigmoid,
    /// The scores add up to 1: one label applies to an image.
    Softmax,
}

impl Activation {
    const NAMES: [(&str, Self); 3] = [("softmax", Self::Softmax), ("sigmoid", Self::Sigmoid), ("none", Self::None)];

    /// Parses the option 'activation'. Upper and lower case are equal.
    ///
    /// # Errors
    /// A message for another value.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
        let activation = named.map(|(_, activation)| *activation);
        activation.ok_or_else(|| format!("activation must be 'softmax', 'sigmoid' or 'none', got '{value}'"))
    }
}

/// The name, as in the option 'activation'.
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, activation)| activation == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// What options and files say about the activation.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActivationHints {
    /// The option 'activation'.
    pub(super) option: Option<Activation>,
    /// `problem_type` in `config.json`.
    pub(super) problem_type: Option<String>,
    /// Why `config.json` cannot be read, if it cannot.
    pub(super) unreadable_config: Option<String>,
}

impl ActivationHints {
    /// The activation of a model with `scores` scores per image, and the reason, a row of DESCRIBE MODEL.
    ///
    /// An option wins, then the graph; then `problem_type` and the number of scores decide as in transformers'
    /// `ImageClassificationPipeline.postprocess`. timm's `inference.py` applies softmax to several scores, too.
    pub(super) fn select(&self, graph: Option<OutputActivation>, scores: usize) -> (Activation, String) {
        if let Some(option) = self.option {
            return (option, "OPTIONS".to_owned());
        }
        match graph {
            // The softmax of the logarithms of probabilities are the probabilities.
            Some(OutputActivation::LogSoftmax) => {
                return (Activation::Softmax, "the graph ends in LogSoftmax".to_owned());
            }
            Some(graph) => return (Activation::None, format!("the graph ends in {graph}")),
            None => {}
        }
        let count = if scores == 1 { "one score" } else { "several scores" };
        let default = if scores == 1 { Activation::Sigmoid } else { Activation::Softmax };
        let Some(problem_type) = self.problem_type.as_deref() else {
            let remark =
                self.unreadable_config.as_ref().map(|reason| format!(" (config.json cannot be read: {reason})"));
            return (default, format!("default for {count}{}", remark.unwrap_or_default()));
        };
        let activation = match problem_type {
            "regression" => Activation::None,
            "multi_label_classification" => Activation::Sigmoid,
            "single_label_classification" if scores != 1 => Activation::Softmax,
            "single_label_classification" => {
                return (default, format!("default for {count}; config.json: problem_type '{problem_type}'"));
            }
            _ => {
                return (
                    default,
                    format!("default for {count}; config.json: problem_type '{problem_type}' is unknown"),
                );
            }
        };
        (activation, format!("config.json: problem_type '{problem_type}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(problem_type: &str) -> ActivationHints {
        ActivationHints { problem_type: Some(problem_type.to_owned()), ..Default::default() }
    }

    #[test]
    fn the_problem_type_and_the_number_of_scores_decide() {
        // ImageClassificationPipeline.postprocess of transformers 5.24.
        let none = ActivationHints::default();
        assert_eq!(none.select(None, 3), (Activation::Softmax, "default for several scores".to_owned()));
        assert_eq!(none.select(None, 1), (Activation::Sigmoid, "default for one score".to_owned()));
        for (problem_type, one, several) in [
            ("regression", Activation::None, Activation::None),
            ("multi_label_classification", Activation::Sigmoid, Activation::Sigmoid),
            ("single_label_classification", Activation::Sigmoid, Activation::Softmax),
            ("other", Activation::Sigmoid, Activation::Softmax),
        ] {
            let hints = hints(problem_type);
            assert_eq!((hints.select(None, 1).0, hints.select(None, 3).0), (one, several), "{problem_type}");
            assert!(hints.select(None, 3).1.contains(&format!("config.json: problem_type '{problem_type}'")));
        }
        let unreadable = ActivationHints { unreadable_config: Some("trailing comma".to_owned()), ..Default::default() };
        let (activation, source) = unreadable.select(None, 3);
        assert_eq!(activation, Activation::Softmax);
        assert_eq!(source, "default for several scores (config.json cannot be read: trailing comma)");
    }

    #[test]
    fn the_graph_comes_before_the_problem_type() {
        let hints = hints("multi_label_classification");
        for (graph, expected, name) in [
            (OutputActivation::Sigmoid, Activation::None, "Sigmoid"),
            (OutputActivation::Softmax, Activation::None, "Softmax"),
            (OutputActivation::LogSoftmax, Activation::Softmax, "LogSoftmax"),
        ] {
            assert_eq!(hints.select(Some(graph), 3), (expected, format!("the graph ends in {name}")));
        }
    }

    #[test]
    fn the_option_comes_before_the_graph() {
        let hints = ActivationHints { option: Some(Activation::Softmax), ..hints("regression") };
        assert_eq!(hints.select(Some(OutputActivation::Sigmoid), 3), (Activation::Softmax, "OPTIONS".to_owned()));
    }

    #[test]
    fn names_are_parsed_and_displayed() {
        for name in ["softmax", "sigmoid", "none"] {
            assert_eq!(Activation::parse(&name.to_uppercase()).unwrap().to_string(), name);
        }
        let error = Activation::parse("relu").unwrap_err();
        assert_eq!(error, "activation must be 'softmax', 'sigmoid' or 'none', got 'relu'");
    }
}
