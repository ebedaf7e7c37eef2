//! [`Planner`]: the tensors, steps and buffers of a graph that is being compiled.

use std::collections::HashMap;
use std::sync::Arc;

use super::tensor::{
    NHWC, PlannedTensor, broadcast_shape, broadcast_strides, num_elements_saturating, row_major_order,
};
use super::{BufferDecl, BufferId, BufferSource, Operand, PackedWeights, Step};
use crate::error::Error;
use crate::graph::{Constant, Graph, Node};
use crate::kernel::{Copy, Expression, Kernel, MAX_ELEMENTS, StridedLayout, Term};

/// A tensor of the graph at plan time.
#[derive(Debug, Clone)]
pub(super) enum PlanValue {
    /// Known at plan time.
    Constant(Arc<Constant>),
    Tensor(PlannedTensor),
}

/// The state of a graph that is being compiled.
pub(super) struct Planner<'g> {
    pub(super) graph: &'g Graph,
    pub(super) values: HashMap<String, PlanValue>,
    pub(super) steps: Vec<Step>,
    pub(super) buffers: Vec<BufferDecl>,
    /// The buffers of packed weights, by name.
    weights: HashMap<String, BufferId>,
    /// Copies of a tensor in another axis order, or padded to another shape.
    layout_cache: HashMap<(PlannedTensor, Vec<usize>), PlannedTensor>,
}

/// The outputs of a lowered node.
pub(super) type Lowered = Result<Vec<PlanValue>, Error>;

/// The number of elements of a shape, `None` if the kernels cannot index that many.
pub(super) fn checked_num_elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).filter(|&len| len <= MAX_ELEMENTS)
}

impl<'g> Planner<'g> {
    pub(super) fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
            values: HashMap::new(),
            steps: Vec::new(),
            buffers: Vec::new(),
            weights: HashMap::new(),
            layout_cache: HashMap::new(),
        }
    }

    /// Declares a buffer.
    pub(super) fn store(&mut self, buffer: BufferDecl) -> BufferId {
        self.buffers.push(buffer);
        self.buffers.len() - 1
    }

    pub(super) fn lookup(&self, name: &str) -> Option<PlanValue> {
        let constant =
            || self.graph.constants.get(name).map(|constant| PlanValue::Constant(Arc::new(constant.clone())));
        self.values.get(name).cloned().or_else(constant)
    }

    /// An input of a node, `None` if it is omitted.
    pub(super) fn optional(&self, node: &Node, index: usize) -> Option<PlanValue> {
        self.lookup(node.input(index)?)
    }

    /// A required input of a node.
    pub(super) fn value(&self, node: &Node, index: usize) -> Result<PlanValue, Error> {
        self.optional(node, index).ok_or_else(|| node.unsupported(format!("input {index} is missing")))
    }

    /// An input of a node that has to be known at plan time, `None` if it is omitted.
    pub(super) fn constant(&self, node: &Node, index: usize) -> Result<Option<Arc<Constant>>, Error> {
        match self.optional(node, index) {
            Some(PlanValue::Constant(constant)) => Ok(Some(constant)),
            Some(PlanValue::Tensor(_)) => Err(node.unsupported(format!("input {index} is not constant"))),
            None => Ok(None),
        }
    }

    /// An input of a node, on the device.
    pub(super) fn input(&mut self, node: &Node, index: usize) -> Result<PlannedTensor, Error> {
        let value = self.value(node, index)?;
        Ok(self.tensor(node.input(index).unwrap_or_default(), &value))
    }

    /// A value on the device; constants become weights.
    pub(super) fn tensor(&mut self, name: &str, value: &PlanValue) -> PlannedTensor {
        match value {
            PlanValue::Tensor(tensor) => tensor.clone(),
            PlanValue::Constant(constant) => {
                let name = self.name(name, constant);
                let values = Arc::clone(constant);
                let buffer = self.weights(name, constant.len(), move || values.to_floats().to_vec());
                PlannedTensor { buffer, shape: constant.shape.clone(), order: row_major_order(constant.shape.len()) }
            }
        }
    }

    /// The name of a constant among the weights: its own if the graph contains it, a hash of its contents if it was folded, because
    /// constants computed from shapes differ between plans.
    pub(super) fn name(&self, name: &str, constant: &Constant) -> String {
        match self.graph.constants.get(name).is_some_and(|given| given.ptr_eq(constant)) {
            true => format!("given {name} {}", constant.len()),
            false => format!("computed {:016x} {}", constant.hash(), constant.len()),
        }
    }

    /// The buffer of packed weights; `pack` is called when no earlier plan has uploaded them.
    pub(super) fn weights(
        &mut self,
        name: String,
        len: usize,
        pack: impl Fn() -> Vec<f32> + Send + Sync + 'static,
    ) -> BufferId {
        if let Some(&buffer) = self.weights.get(&name) {
            return buffer;
        }
        let weights = PackedWeights { name: name.clone(), pack: Arc::new(pack) };
        let buffer = self.store(BufferDecl { len, source: BufferSource::Weights(weights) });
        self.weights.insert(name, buffer);
        buffer
    }

    /// Adds a step that computes a tensor.
    pub(super) fn emit(
        &mut self,
        kernel: Kernel,
        inputs: Vec<BufferId>,
        shape: Vec<usize>,
        order: Vec<usize>,
    ) -> PlannedTensor {
        self.emit_with_epilogue(kernel, inputs, shape, order, Expression::identity(), Vec::new())
    }

    /// Adds a step with an epilogue, an expression that is applied to each element before it is stored.
    pub(super) fn emit_with_epilogue(
        &mut self,
        kernel: Kernel,
        inputs: Vec<BufferId>,
        shape: Vec<usize>,
        order: Vec<usize>,
        epilogue: Expression,
        operands: Vec<Operand>,
    ) -> PlannedTensor {
        let num_elements = num_elements_saturating(&shape);
        let output = self.store(BufferDecl { len: num_elements, source: BufferSource::Step });
        self.steps.push(Step { kernel, inputs, output, num_elements, epilogue, operands });
        PlannedTensor { buffer: output, shape, order }
    }

    /// Allocates a tensor that copies fill.
    pub(super) fn alloc(&mut self, shape: Vec<usize>, order: Vec<usize>) -> PlannedTensor {
        let len = num_elements_saturating(&shape);
        PlannedTensor { buffer: self.store(BufferDecl { len, source: BufferSource::Step }), shape, order }
    }

    /// Adds a step that copies `num_elements` elements into an allocated tensor.
    pub(super) fn copy(&mut self, from: BufferId, kernel: Copy, num_elements: usize, to: &PlannedTensor) {
        let (kernel, inputs) = (Kernel::Copy(kernel), vec![from]);
        self.steps.push(Step {
            kernel,
            inputs,
            output: to.buffer,
            num_elements,
            epilogue: Expression::identity(),
            operands: Vec::new(),
        });
    }

    /// The tensor in another axis order, copied unless the memory layout already is that one.
    pub(super) fn ensure_layout(&mut self, tensor: &PlannedTensor, order: &[usize]) -> PlannedTensor {
        if tensor.is_layout(order) {
            return PlannedTensor { order: order.to_vec(), ..tensor.clone() };
        }
        let key = (tensor.clone(), order.to_vec());
        if let Some(copy) = self.layout_cache.get(&key) {
            return copy.clone();
        }
        let copy = self.copy_to_layout(tensor, order);
        self.layout_cache.insert(key, copy.clone());
        copy
    }

    /// The tensor in row-major order.
    pub(super) fn contiguous(&mut self, tensor: &PlannedTensor) -> PlannedTensor {
        self.ensure_layout(tensor, &row_major_order(tensor.shape.len()))
    }

    /// Images in NHWC order, as convolutions read them, and the number of channels per pixel. If a copy is needed anyway, the
    /// channels are zero-padded to a multiple of 4, so that they can be read as `vec4`.
    pub(super) fn ensure_nhwc(&mut self, tensor: &PlannedTensor, may_pad: bool) -> (BufferId, usize) {
        let channels = tensor.shape[1];
        if tensor.is_layout(&NHWC) || channels.is_multiple_of(4) || !may_pad {
            return (self.ensure_layout(tensor, &NHWC).buffer, channels);
        }
        let padded = channels.next_multiple_of(4);
        let shape = vec![tensor.shape[0], padded, tensor.shape[2], tensor.shape[3]];
        let key = (tensor.clone(), shape.clone());
        if let Some(copy) = self.layout_cache.get(&key) {
            return (copy.buffer, padded);
        }
        let strides = tensor.strides();
        let out = self.alloc(shape, NHWC.to_vec());
        let (dims, strides) = (out.dims(), NHWC.iter().map(|&axis| strides[axis]).collect());
        let from = StridedLayout { dims: dims.clone(), strides, offset: 0 };
        let copy = Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: Some((padded, channels)) };
        self.copy(tensor.buffer, copy, out.len(), &out);
        self.layout_cache.insert(key, out.clone());
        (out.buffer, padded)
    }

    pub(super) fn copy_to_layout(&mut self, tensor: &PlannedTensor, order: &[usize]) -> PlannedTensor {
        let strides = tensor.strides();
        let dims: Vec<usize> = order.iter().map(|&axis| tensor.shape[axis]).collect();
        let from =
            StridedLayout { dims: dims.clone(), strides: order.iter().map(|&axis| strides[axis]).collect(), offset: 0 };
        let out = self.alloc(tensor.shape.clone(), order.to_vec());
        self.copy(
            tensor.buffer,
            Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: None },
            tensor.len(),
            &out,
        );
        out
    }

    /// The elements in row-major order, viewed in another shape.
    pub(super) fn reshaped(&mut self, tensor: &PlannedTensor, shape: Vec<usize>) -> PlannedTensor {
        let tensor = self.contiguous(tensor);
        PlannedTensor { buffer: tensor.buffer, order: row_major_order(shape.len()), shape }
    }

    /// A value in an expression over a result of that shape and order: the index of its term, adding an operand if needed.
    ///
    /// # Errors
    /// When it cannot be broadcast to the shape.
    pub(super) fn term(
        &mut self,
        node: &Node,
        name: &str,
        value: &PlanValue,
        (shape, order): (&[usize], &[usize]),
        operands: &mut Vec<Operand>,
    ) -> Result<Term, Error> {
        if broadcast_shape(shape, value.shape()).as_deref() != Some(shape) {
            return Err(node.unsupported(format!("input of {:?} cannot be broadcast to {shape:?}", value.shape())));
        }
        if let PlanValue::Constant(constant) = value
            && let Some(index) = constant.scalar()
        {
            return Ok(Term::Literal(index));
        }
        let tensor = self.tensor(name, value);
        let strides = broadcast_strides(&tensor.shape, &tensor.strides(), shape);
        let layout = StridedLayout {
            dims: order.iter().map(|&axis| shape[axis]).collect(),
            strides: order.iter().map(|&axis| strides[axis]).collect(),
            offset: 0,
        };
        operands.push(Operand { buffer: tensor.buffer, layout });
        Ok(Term::Operand(operands.len() - 1))
    }
}

impl PlanValue {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Constant(constant) => &constant.shape,
            Self::Tensor(tensor) => &tensor.shape,
        }
    }
}
