//! Products of matrices.

use std::sync::Arc;

use super::Lowered;
use crate::error::Error;
use crate::graph::{Constant, Node};
use crate::kernel::{Binary, Expression, Gemm, Kernel, LhsLayout, RhsLayout, Term, padded_depth};
use crate::plan::planner::{Planner, Value};
use crate::plan::tensor::{Tensor, counted};

/// `alpha * A' * B' + beta * C`, where A' and B' may be turned.
pub(super) fn gemm(planner: &mut Planner, node: &Node) -> Lowered {
    let turned = |tensor: Tensor, name: &str| if node.int(name, 0) != 0 { tensor.transposed(&[1, 0]) } else { tensor };
    let a = planner.input(node, 0)?;
    if a.shape.len() != 2 {
        return Err(node.unsupported(format!("its input has the shape {:?}, and is no matrix", a.shape)));
    }
    let a = turned(a, "transA");
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let b = planner.value(node, 1)?;
    if b.shape().len() != 2 {
        return Err(node.unsupported(format!("its weights have the shape {:?}, and are no matrix", b.shape())));
    }
    let product = match b {
        Value::Constant(b) => with_weights(planner, node, &a, &b, node.int("transB", 0) != 0)?,
        Value::Tensor(b) => of_tensors(planner, node, &a, &turned(b, "transB"))?,
    };
    let (shape, order) = (product.shape.clone(), product.order.clone());
    let (mut e, mut operands) = (Expression(Vec::new()), Vec::new());
    let mut parts = vec![("", Value::Tensor(product), alpha)];
    parts.extend(planner.optional(node, 2).map(|c| (node.input(2).unwrap_or_default(), c, beta)));
    let mut inputs = Vec::new();
    for (name, value, factor) in parts {
        let term = planner.term(node, name, &value, (&shape, &order), &mut operands)?;
        let number = e.push(term);
        inputs.push(times(&mut e, number, factor));
    }
    if let [product, c] = inputs[..] {
        e.push(Term::Binary(Binary::Add, product, c));
    }
    Ok(vec![Value::Tensor(planner.emit_finished(Kernel::Pointwise, Vec::new(), shape, order, e, operands))])
}

fn times(e: &mut Expression, number: usize, factor: f32) -> usize {
    if factor == 1.0 {
        return number;
    }
    let factor = e.push(Term::Literal(factor));
    e.push(Term::Binary(Binary::Mul, number, factor))
}

/// As numpy's, for at least two axes each; a vector in the place of a matrix is a matrix of one row or column.
pub(super) fn matmul(planner: &mut Planner, node: &Node) -> Lowered {
    let (a, b) = (planner.input(node, 0)?, planner.value(node, 1)?);
    if a.shape.len() < 2 || b.shape().len() < 2 {
        return Err(node.unsupported("one of its inputs is a vector"));
    }
    let out = match b {
        Value::Constant(b) if b.shape.len() == 2 => with_weights(planner, node, &a, &b, false)?,
        b => {
            let b = planner.tensor(node.input(1).unwrap_or_default(), &b);
            of_tensors(planner, node, &a, &b)?
        }
    };
    Ok(vec![Value::Tensor(out)])
}

/// `a [.., rows, depth]` and constant weights `[depth, columns]`, or `[columns, depth]` when they are turned.
fn with_weights(
    planner: &mut Planner,
    node: &Node,
    a: &Tensor,
    b: &Arc<Constant>,
    is_turned: bool,
) -> Result<Tensor, Error> {
    let &[first, second] = &b.shape[..] else { return Err(node.unsupported("its weights are no matrix")) };
    let (depth, columns) = if is_turned { (second, first) } else { (first, second) };
    let a = planner.counted(a);
    let Some((&inner, outer)) = a.shape.split_last().filter(|(inner, _)| **inner == depth) else {
        return Err(node.unsupported(format!("{:?} by {:?} is no product", a.shape, b.shape)));
    };
    let (row, numbers) = (padded_depth(depth), b.to_floats());
    let name = planner.name(node.input(1).unwrap_or_default(), b);
    let name = format!("{name} in {}", if is_turned { "rows" } else { "columns" });
    let packed = planner.weights(name, columns * row, move || {
        let mut packed = vec![0.0; columns * row];
        for (i, &number) in numbers.iter().enumerate() {
            let (column, k) = if is_turned { (i / depth, i % depth) } else { (i % columns, i / columns) };
            packed[column * row + k] = number;
        }
        packed
    });
    let gemm = Gemm {
        m: outer.iter().product(),
        k: depth,
        n: columns,
        batch: 1,
        a: LhsLayout::Matrix { batch_stride: 0, row_stride: inner, k_stride: 1 },
        b: RhsLayout::Packed,
        out_batch_stride: 0,
        ldc: columns,
    };
    let shape: Vec<usize> = outer.iter().copied().chain([columns]).collect();
    let order = counted(shape.len());
    Ok(planner.emit(Kernel::Gemm(gemm), vec![a.storage, packed], shape, order))
}

/// `a [.., rows, depth]` and `b [.., depth, columns]`, a product for each of the axes before.
fn of_tensors(planner: &mut Planner, node: &Node, a: &Tensor, b: &Tensor) -> Result<Tensor, Error> {
    let (outer_a, inner_a) = a.shape.split_at(a.shape.len() - 2);
    let (outer_b, inner_b) = b.shape.split_at(b.shape.len() - 2);
    let (&[rows, depth], &[depth_b, columns]) = (inner_a, inner_b) else {
        return Err(node.unsupported("its inputs are no matrices"));
    };
    if depth != depth_b || (outer_a != outer_b && outer_b.iter().any(|&dim| dim != 1)) {
        return Err(node.unsupported(format!("{:?} by {:?} is no product", a.shape, b.shape)));
    }
    let mut shape = outer_a.to_vec();
    if outer_b.len() > outer_a.len() {
        shape = [&vec![1; outer_b.len() - outer_a.len()], outer_a].concat();
    }
    let batch: usize = outer_a.iter().product();
    let (a, [a_row, a_depth]) = matrices(planner, a);
    let (b, [b_depth, b_column]) = matrices(planner, b);
    let b_batch = if outer_b.iter().product::<usize>() == 1 { 0 } else { depth * columns };
    let gemm = Gemm {
        m: rows,
        k: depth,
        n: columns,
        batch,
        a: LhsLayout::Matrix { batch_stride: rows * depth, row_stride: a_row, k_stride: a_depth },
        b: RhsLayout::Matrix { batch_stride: b_batch, k_stride: b_depth, column_stride: b_column },
        out_batch_stride: rows * columns,
        ldc: columns,
    };
    shape.extend([rows, columns]);
    let order = counted(shape.len());
    Ok(planner.emit(Kernel::Gemm(gemm), vec![a.storage, b.storage], shape, order))
}

/// The same, one matrix behind the other, each as it lies; with how far apart rows and columns are.
fn matrices(planner: &mut Planner, tensor: &Tensor) -> (Tensor, [usize; 2]) {
    let rank = tensor.shape.len();
    let (rows, columns) = (tensor.shape[rank - 2], tensor.shape[rank - 1]);
    let mut turned = counted(rank);
    turned.swap(rank - 2, rank - 1);
    if tensor.lies_in(&turned) && rows != 1 && columns != 1 {
        return (tensor.clone(), [1, rows]);
    }
    (planner.counted(tensor), [columns, 1])
}
