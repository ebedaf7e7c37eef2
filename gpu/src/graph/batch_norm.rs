//! Folds a batch normalization into the weights of the convolution before it.
//!
//! ```text
//! s = scale / sqrt(variance + epsilon)
//! (conv(x, w) + b - mean) * s + shift  =  conv(x, w * s) + (b - mean) * s + shift
//! ```

use super::{Constant, Graph, Node};

impl Graph {
    /// Folds every batch normalization that is the only consumer of a convolution with constant weights. The convolution itself stays,
    /// because its output may be requested by name.
    pub(super) fn fold_batch_norms(&mut self) {
        for index in 0..self.nodes.len() {
            if let Some((folded, weights, bias)) = self.fold_into_conv(index) {
                let (weights_name, bias_name) = (format!("{} folded", folded.name), format!("{} bias", folded.name));
                self.constants.insert(weights_name, weights);
                self.constants.insert(bias_name, bias);
                self.nodes[index] = folded;
            }
        }
    }

    /// For a normalization: the convolution that replaces it, with its weights and bias.
    fn fold_into_conv(&self, index: usize) -> Option<(Node, Constant, Constant)> {
        let norm = self.nodes.get(index).filter(|node| node.op == "BatchNormalization" && node.domain.is_empty())?;
        let input = norm.input(0)?;
        let node =
            self.nodes[..index].iter().find(|node| node.op == "Conv" && node.outputs.iter().any(|o| o == input))?;
        if self.use_count(input) != 1 {
            return None;
        }
        let ChannelAffine { scale, shift } = self.channel_affine(norm)?;
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
        // The name of the output is unique.
        let name = norm.outputs.first()?.clone();
        let inputs = vec![node.input(0)?.to_owned(), format!("{name} folded"), format!("{name} bias")];
        let folded = Node { name: name.clone(), inputs, outputs: vec![name], ..node.clone() };
        Some((folded, scaled, bias))
    }

    /// The scale and shift of a normalization with constant statistics.
    pub(crate) fn channel_affine(&self, norm: &Node) -> Option<ChannelAffine> {
        let constant = |input| Some(self.constants.get(norm.input(input)?)?.to_floats());
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
        Some(ChannelAffine { scale, shift })
    }
}

/// `x * scale + shift` per channel.
pub(crate) struct ChannelAffine {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}
