//! Batch normalization behind a convolution becomes part of its weights.
//!
//! ```text
//! s = scale / sqrt(variance + epsilon)
//! (conv(x, w) + b - mean) * s + shift  =  conv(x, w * s) + (b - mean) * s + shift
//! ```

use super::{Constant, Graph, Node};

impl Graph {
    /// Folds every batch normalization that alone reads what a convolution with constant weights gives. The convolution itself
    /// stays, for whoever asks for its result by name.
    pub(super) fn fold_batch_norms(&mut self) {
        for number in 0..self.nodes.len() {
            if let Some((folded, weights, bias)) = self.folded(number) {
                let (weights_name, bias_name) = (format!("{} folded", folded.name), format!("{} bias", folded.name));
                self.constants.insert(weights_name, weights);
                self.constants.insert(bias_name, bias);
                self.nodes[number] = folded;
            }
        }
    }

    /// For a normalization: what stands for it and its convolution, and that one's weights and bias.
    fn folded(&self, number: usize) -> Option<(Node, Constant, Constant)> {
        let norm = self.nodes.get(number).filter(|node| node.op == "BatchNormalization" && node.domain.is_empty())?;
        let input = norm.input(0)?;
        let node =
            self.nodes[..number].iter().find(|node| node.op == "Conv" && node.outputs.iter().any(|o| o == input))?;
        if self.readers(input) != 1 {
            return None;
        }
        let Channels { scale, shift } = self.channels(norm)?;
        let weights = self.constants.get(node.input(1)?)?;
        let bias = match node.input(2) {
            Some(name) => self.constants.get(name)?.to_floats(),
            None => vec![0.0; scale.len()].into(),
        };
        let values = weights.to_floats();
        if scale.is_empty() || bias.len() != scale.len() || weights.shape.first() != Some(&scale.len()) {
            return None;
        }
        let size = values.len() / scale.len();
        let scaled = values.iter().enumerate().map(|(i, &value)| (f64::from(value) * scale[i / size.max(1)]) as f32);
        let scaled = Constant::floats(weights.shape.clone(), scaled.collect());
        let bias =
            bias.iter().zip(&scale).zip(&shift).map(|((&bias, scale), shift)| (f64::from(bias) * scale + shift) as f32);
        let bias = Constant::floats(vec![scale.len()], bias.collect());
        // The output's name is nobody else's.
        let name = norm.outputs.first()?.clone();
        let inputs = vec![node.input(0)?.to_owned(), format!("{name} folded"), format!("{name} bias")];
        let folded = Node { name: name.clone(), inputs, outputs: vec![name], ..node.clone() };
        Some((folded, scaled, bias))
    }

    /// What a normalization with constant statistics does to each channel.
    pub(crate) fn channels(&self, norm: &Node) -> Option<Channels> {
        let constant = |number| Some(self.constants.get(norm.input(number)?)?.to_floats());
        let (scale, shift, mean, variance) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
        if norm.int("training_mode", 0) != 0
            || [&shift, &mean, &variance].iter().any(|values| values.len() != scale.len())
        {
            return None;
        }
        let epsilon = f64::from(norm.float("epsilon", 1e-5));
        let scale: Vec<f64> =
            scale.iter().zip(&*variance).map(|(&s, &v)| f64::from(s) / (f64::from(v) + epsilon).sqrt()).collect();
        let shift = shift.iter().zip(&*mean).zip(&scale);
        let shift = shift.map(|((&shift, &mean), scale)| f64::from(shift) - f64::from(mean) * scale).collect();
        Some(Channels { scale, shift })
    }
}

/// `x * scale + shift`, a pair for each channel.
pub(crate) struct Channels {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}
