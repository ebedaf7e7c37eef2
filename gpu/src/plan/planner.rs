//! [`plan`]: from a graph and the shapes of its inputs to steps.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fold::broadcast;
use super::fuse::fuse;
use super::tensor::{CHANNELS_LAST, Tensor, counted, saturated, spread};
use super::{Operand, Plan, Source, Step, Storage, Stored, Weights, fold, lower};
use crate::error::Error;
use crate::graph::{Constant, Graph, Node};
use crate::kernel::{Copy, Expression, Kernel, StridedLayout, Term};

/// Numbers of a tensor beyond which no kernel counts.
const MOST_NUMBERS: usize = i32::MAX as usize;

/// A tensor of the graph while it is planned.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Its numbers are known.
    Constant(Arc<Constant>),
    Tensor(Tensor),
}

/// A graph on its way to steps.
pub(super) struct Planner<'g> {
    pub(super) graph: &'g Graph,
    values: HashMap<String, Value>,
    steps: Vec<Step>,
    storages: Vec<Stored>,
    /// Weights that are there already, by their names.
    weights: HashMap<String, Storage>,
    /// Copies of a tensor in another order, or of another shape.
    copies: HashMap<(Tensor, Vec<usize>), Tensor>,
}

/// Plans the tensors `wanted` of a graph whose inputs have these shapes.
///
/// # Errors
/// [`Error::Unsupported`] for an operator that has no place here, [`Error::Graph`] for one that cannot be.
pub(crate) fn plan(graph: &Graph, shapes: &[Vec<usize>], wanted: &[String]) -> Result<Plan, Error> {
    let mut planner = Planner {
        graph,
        values: HashMap::new(),
        steps: Vec::new(),
        storages: Vec::new(),
        weights: HashMap::new(),
        copies: HashMap::new(),
    };
    for (number, (name, shape)) in graph.inputs.iter().zip(shapes).enumerate() {
        let len = size(shape).filter(|&len| len > 0).ok_or_else(|| Error::Graph {
            reason: format!("its input '{name}' has the shape {shape:?}, which is not one of numbers"),
        })?;
        let storage = planner.store(Stored { len, source: Source::Input(number) });
        let tensor = Tensor { storage, shape: shape.clone(), order: counted(shape.len()) };
        planner.values.insert(name.clone(), Value::Tensor(tensor));
    }
    let needed = needed(graph, wanted);
    for (node, is_needed) in graph.nodes.iter().zip(needed) {
        if !is_needed {
            continue;
        }
        // One that has a name is there: the second output of a Dropout is not.
        if let Some(missing) = node.inputs.iter().find(|name| !name.is_empty() && planner.known(name).is_none()) {
            return Err(node.unsupported(format!("its input '{missing}' is not computed")));
        }
        let values = match fold::fold(&planner, node)? {
            Some(constants) => constants.into_iter().map(|constant| Value::Constant(Arc::new(constant))).collect(),
            None => lower::lower(&mut planner, node)?,
        };
        for (name, value) in node.outputs.iter().zip(values) {
            // Kernels count as far as that, and none of them is made for nothing.
            match (size(value.shape()), &value) {
                (None, _) => {
                    return Err(node.unsupported(format!("its result of {:?} has too many numbers", value.shape())));
                }
                (Some(0), Value::Tensor(_)) => return Err(node.unsupported("its result has no numbers")),
                _ => {}
            }
            planner.values.insert(name.clone(), value);
        }
    }
    if let Some(stored) = planner.storages.iter().find(|stored| stored.len > MOST_NUMBERS) {
        let bytes = |numbers: usize| (numbers as u64).saturating_mul(size_of::<f32>() as u64);
        return Err(Error::TooLarge { bytes: bytes(stored.len), limit: bytes(MOST_NUMBERS) });
    }
    let mut outputs = Vec::new();
    for name in wanted {
        let value = planner.known(name).ok_or_else(|| Error::Graph { reason: format!("it has no tensor '{name}'") })?;
        let tensor = planner.tensor(name, &value);
        let tensor = planner.counted(&tensor);
        outputs.push(match planner.storages[tensor.storage].source {
            Source::Step => tensor,
            // What is handed on as it came is copied: inputs and weights have buffers of their own.
            _ => planner.copied(&tensor, &counted(tensor.shape.len())),
        });
    }
    let mut plan = Plan { steps: planner.steps, storages: planner.storages, outputs };
    fuse(&mut plan);
    Ok(plan)
}

/// For each node, whether something wanted comes of it.
fn needed(graph: &Graph, wanted: &[String]) -> Vec<bool> {
    let mut tensors: HashSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut needed = vec![false; graph.nodes.len()];
    for (number, node) in graph.nodes.iter().enumerate().rev() {
        needed[number] = node.outputs.iter().any(|output| tensors.contains(output.as_str()));
        if needed[number] {
            tensors.extend(node.inputs.iter().map(String::as_str));
        }
    }
    needed
}

/// The numbers of a shape, unless those are too many.
pub(super) fn size(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)).filter(|&len| len <= MOST_NUMBERS)
}

impl Planner<'_> {
    fn store(&mut self, stored: Stored) -> Storage {
        self.storages.push(stored);
        self.storages.len() - 1
    }

    fn known(&self, name: &str) -> Option<Value> {
        let constant = || self.graph.constants.get(name).map(|constant| Value::Constant(Arc::new(constant.clone())));
        self.values.get(name).cloned().or_else(constant)
    }

    /// The input of a node, `None` when it is left out.
    pub(super) fn optional(&self, node: &Node, number: usize) -> Option<Value> {
        self.known(node.input(number)?)
    }

    /// The input of a node.
    pub(super) fn value(&self, node: &Node, number: usize) -> Result<Value, Error> {
        self.optional(node, number).ok_or_else(|| node.unsupported(format!("it has no input {number}")))
    }

    /// The input of a node whose numbers are known, `None` when it is left out.
    pub(super) fn constant(&self, node: &Node, number: usize) -> Result<Option<Arc<Constant>>, Error> {
        match self.optional(node, number) {
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Tensor(_)) => Err(node.unsupported(format!("its input {number} is not constant"))),
            None => Ok(None),
        }
    }

    /// The input of a node, on the device.
    pub(super) fn input(&mut self, node: &Node, number: usize) -> Result<Tensor, Error> {
        let value = self.value(node, number)?;
        Ok(self.tensor(node.input(number).unwrap_or_default(), &value))
    }

    /// A value on the device.
    pub(super) fn tensor(&mut self, name: &str, value: &Value) -> Tensor {
        match value {
            Value::Tensor(tensor) => tensor.clone(),
            Value::Constant(constant) => {
                let name = self.name(name, constant);
                let numbers = Arc::clone(constant);
                let storage = self.weights(name, constant.len(), move || numbers.to_floats().to_vec());
                Tensor { storage, shape: constant.shape.clone(), order: counted(constant.shape.len()) }
            }
        }
    }

    /// What a constant is called among the weights: by its name when the graph has it, by its numbers when it was computed, since
    /// those that come of shapes differ from plan to plan.
    pub(super) fn name(&self, name: &str, constant: &Constant) -> String {
        match self.graph.constants.get(name).is_some_and(|given| given.is(constant)) {
            true => format!("given {name} {}", constant.len()),
            false => format!("computed {:016x} {}", constant.hash(), constant.len()),
        }
    }

    /// Numbers that stay on the device; `prepare` makes them when no plan has had them yet.
    pub(super) fn weights(
        &mut self,
        name: String,
        len: usize,
        prepare: impl Fn() -> Vec<f32> + Send + Sync + 'static,
    ) -> Storage {
        if let Some(&storage) = self.weights.get(&name) {
            return storage;
        }
        let weights = Weights { name: name.clone(), prepare: Arc::new(prepare) };
        let storage = self.store(Stored { len, source: Source::Weights(weights) });
        self.weights.insert(name, storage);
        storage
    }

    /// Adds a step that makes a tensor.
    pub(super) fn emit(
        &mut self,
        kernel: Kernel,
        inputs: Vec<Storage>,
        shape: Vec<usize>,
        order: Vec<usize>,
    ) -> Tensor {
        self.emit_finished(kernel, inputs, shape, order, Expression::identity(), Vec::new())
    }

    /// Adds a step that does something to each number on its way out.
    pub(super) fn emit_finished(
        &mut self,
        kernel: Kernel,
        inputs: Vec<Storage>,
        shape: Vec<usize>,
        order: Vec<usize>,
        finish: Expression,
        operands: Vec<Operand>,
    ) -> Tensor {
        let count = saturated(&shape);
        let output = self.store(Stored { len: count, source: Source::Step });
        self.steps.push(Step { kernel, inputs, output, count, finish, operands });
        Tensor { storage: output, shape, order }
    }

    /// Room for a tensor that copies fill.
    pub(super) fn room(&mut self, shape: Vec<usize>, order: Vec<usize>) -> Tensor {
        let len = saturated(&shape);
        Tensor { storage: self.store(Stored { len, source: Source::Step }), shape, order }
    }

    /// Copies `count` numbers into a tensor that has room for them.
    pub(super) fn copy(&mut self, from: Storage, kernel: Copy, count: usize, to: &Tensor) {
        let (kernel, inputs) = (Kernel::Copy(kernel), vec![from]);
        self.steps.push(Step {
            kernel,
            inputs,
            output: to.storage,
            count,
            finish: Expression::identity(),
            operands: Vec::new(),
        });
    }

    /// The same numbers in another order, copied unless they lie so.
    pub(super) fn ordered(&mut self, tensor: &Tensor, order: &[usize]) -> Tensor {
        if tensor.lies_in(order) {
            return Tensor { order: order.to_vec(), ..tensor.clone() };
        }
        let key = (tensor.clone(), order.to_vec());
        if let Some(copy) = self.copies.get(&key) {
            return copy.clone();
        }
        let copy = self.copied(tensor, order);
        self.copies.insert(key, copy.clone());
        copy
    }

    /// As the graph counts: the last axis lies together.
    pub(super) fn counted(&mut self, tensor: &Tensor) -> Tensor {
        self.ordered(tensor, &counted(tensor.shape.len()))
    }

    /// Pictures with their channels last, as convolutions read them, and how many channels each pixel has then: where they are
    /// copied anyway and there are 3, a fourth of zeros lets four be read at once.
    pub(super) fn channels_last(&mut self, tensor: &Tensor, may_pad: bool) -> (Storage, usize) {
        let channels = tensor.shape[1];
        if tensor.lies_in(&CHANNELS_LAST) || channels.is_multiple_of(4) || !may_pad {
            return (self.ordered(tensor, &CHANNELS_LAST).storage, channels);
        }
        let padded = channels.next_multiple_of(4);
        let shape = vec![tensor.shape[0], padded, tensor.shape[2], tensor.shape[3]];
        let key = (tensor.clone(), shape.clone());
        if let Some(copy) = self.copies.get(&key) {
            return (copy.storage, padded);
        }
        let strides = tensor.strides();
        let room = self.room(shape, CHANNELS_LAST.to_vec());
        let (dims, strides) = (room.dims(), CHANNELS_LAST.iter().map(|&axis| strides[axis]).collect());
        let from = StridedLayout { dims: dims.clone(), strides, offset: 0 };
        let copy = Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: Some((padded, channels)) };
        self.copy(tensor.storage, copy, room.len(), &room);
        self.copies.insert(key, room.clone());
        (room.storage, padded)
    }

    fn copied(&mut self, tensor: &Tensor, order: &[usize]) -> Tensor {
        let strides = tensor.strides();
        let dims: Vec<usize> = order.iter().map(|&axis| tensor.shape[axis]).collect();
        let from =
            StridedLayout { dims: dims.clone(), strides: order.iter().map(|&axis| strides[axis]).collect(), offset: 0 };
        let room = self.room(tensor.shape.clone(), order.to_vec());
        self.copy(
            tensor.storage,
            Copy { src: from, dst: StridedLayout::contiguous(&dims), zero_fill: None },
            tensor.len(),
            &room,
        );
        room
    }

    /// The same numbers, in another shape.
    pub(super) fn reshaped(&mut self, tensor: &Tensor, shape: Vec<usize>) -> Tensor {
        let tensor = self.counted(tensor);
        Tensor { storage: tensor.storage, order: counted(shape.len()), shape }
    }

    /// A value in an expression over a result of that shape and order: its number, or an operand more.
    ///
    /// # Errors
    /// When it does not fit the shape.
    pub(super) fn term(
        &mut self,
        node: &Node,
        name: &str,
        value: &Value,
        (shape, order): (&[usize], &[usize]),
        operands: &mut Vec<Operand>,
    ) -> Result<Term, Error> {
        if broadcast(shape, value.shape()).as_deref() != Some(shape) {
            return Err(
                node.unsupported(format!("its input of {:?} does not fit a result of {shape:?}", value.shape()))
            );
        }
        if let Value::Constant(constant) = value
            && let Some(number) = constant.scalar()
        {
            return Ok(Term::Literal(number));
        }
        let tensor = self.tensor(name, value);
        let strides = spread(&tensor.shape, &tensor.strides(), shape);
        let places = StridedLayout {
            dims: order.iter().map(|&axis| shape[axis]).collect(),
            strides: order.iter().map(|&axis| strides[axis]).collect(),
            offset: 0,
        };
        operands.push(Operand { storage: tensor.storage, places });
        Ok(Term::Operand(operands.len() - 1))
    }
}

impl Value {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Constant(constant) => &constant.shape,
            Self::Tensor(tensor) => &tensor.shape,
        }
    }
}
