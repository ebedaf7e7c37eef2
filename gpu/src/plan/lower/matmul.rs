//! Matrix products.

use std::sync::Arc;

use crate::error::Error;
use crate::graph::{Constant, Node};
use crate::kernel::{Binary, Expression, Gemm, Kernel, LhsLayout, RhsLayout, Term, padded_depth};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::{PlannedTensor, row_major_order};

/// `alpha * A' * B' + beta * C`, where A' and B' may be transposed.
pub(super) fn gemm(planner: &mut Planner, node: &Node) -> Lowered {
    let transposed =
        |tensor: PlannedTensor, name: &str| if node.int(name, 0) != 0 { tensor.permuted(&[1, 0]) } else { tensor };
    let a = planner.input(node, 0)?;
    if a.shape.len() != 2 {
        return Err(node.unsupported(format!("its input has shape {:?}, which is not a matrix", a.shape)));
    }
    let a = transposed(a, "transA");
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let b = planner.value(node, 1)?;
    if b.shape().len() != 2 {
        return Err(node.unsupported(format!("its weights have shape {:?}, which is not a matrix", b.shape())));
    }
    let product = match b {
        PlanValue::Constant(b) => matmul_packed(planner, node, &a, &b, node.int("transB", 0) != 0)?,
        PlanValue::Tensor(b) => batched_matmul(planner, node, &a, &transposed(b, "transB"))?,
    };
    let (shape, order) = (product.shape.clone(), product.order.clone());
    let (mut e, mut operands) = (Expression(Vec::new()), Vec::new());
    let mut parts = vec![("", PlanValue::Tensor(product), alpha)];
    parts.extend(planner.optional(node, 2).map(|c| (node.input(2).unwrap_or_default(), c, beta)));
    let mut inputs = Vec::new();
    for (name, value, factor) in parts {
        let term = planner.term(node, name, &value, (&shape, &order), &mut operands)?;
        let value = e.push(term);
        inputs.push(scaled(&mut e, value, factor));
    }
    if let [product, c] = inputs[..] {
        e.push(Term::Binary(Binary::Add, product, c));
    }
    Ok(vec![PlanValue::Tensor(planner.emit_with_epilogue(Kernel::Pointwise, Vec::new(), shape, order, e, operands))])
}

fn scaled(e: &mut Expression, value: usize, factor: f32) -> usize {
    if factor == 1.0 {
        return value;
    }
    let factor = e.push(Term::Literal(factor));
    e.push(Term::Binary(Binary::Mul, value, factor))
}

/// NumPy's `matmul` for operands of at least two axes.
pub(super) fn matmul(planner: &mut Planner, node: &Node) -> Lowered {
    let (a, b) = (planner.input(node, 0)?, planner.value(node, 1)?);
    if a.shape.len() < 2 || b.shape().len() < 2 {
        return Err(node.unsupported("a 1-D operand is not supported"));
    }
    let out = match b {
        PlanValue::Constant(b) if b.shape.len() == 2 => matmul_packed(planner, node, &a, &b, false)?,
        b => {
            let b = planner.tensor(node.input(1).unwrap_or_default(), &b);
            batched_matmul(planner, node, &a, &b)?
        }
    };
    Ok(vec![PlanValue::Tensor(out)])
}

/// `a [.., rows, depth]` and constant weights `[depth, columns]`, or `[columns, depth]` if they are transposed.
fn matmul_packed(
    planner: &mut Planner,
    node: &Node,
    a: &PlannedTensor,
    b: &Arc<Constant>,
    is_transposed: bool,
) -> Result<PlannedTensor, Error> {
    let &[first, second] = &b.shape[..] else { return Err(node.unsupported("its weights are not a matrix")) };
    let (depth, columns) = if is_transposed { (second, first) } else { (first, second) };
    let a = planner.contiguous(a);
    let Some((&inner, outer)) = a.shape.split_last().filter(|(inner, _)| **inner == depth) else {
        return Err(node.unsupported(format!("shapes {:?} and {:?} cannot be multiplied", a.shape, b.shape)));
    };
    let (row, values) = (padded_depth(depth), b.to_floats());
    let name = planner.name(node.input(1).unwrap_or_default(), b);
    let name = format!("{name} in {}", if is_transposed { "rows" } else { "columns" });
    let packed = planner.weights(name, columns * row, move || {
        let mut packed = vec![0.0; columns * row];
        for (i, &value) in values.iter().enumerate() {
            let (column, k) = if is_transposed { (i / depth, i % depth) } else { (i % columns, i / columns) };
            packed[column * row + k] = value;
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
    let order = row_major_order(shape.len());
    Ok(planner.emit(Kernel::Gemm(gemm), vec![a.buffer, packed], shape, order))
}

/// `a [.., rows, depth]` and `b [.., depth, columns]`, one product per index of the leading axes.
fn batched_matmul(
    planner: &mut Planner,
    node: &Node,
    a: &PlannedTensor,
    b: &PlannedTensor,
) -> Result<PlannedTensor, Error> {
    let (outer_a, inner_a) = a.shape.split_at(a.shape.len() - 2);
    let (outer_b, inner_b) = b.shape.split_at(b.shape.len() - 2);
    let (&[rows, depth], &[depth_b, columns]) = (inner_a, inner_b) else {
        return Err(node.unsupported("its inputs are not matrices"));
    };
    if depth != depth_b || (outer_a != outer_b && outer_b.iter().any(|&dim| dim != 1)) {
        return Err(node.unsupported(format!("shapes {:?} and {:?} cannot be multiplied", a.shape, b.shape)));
    }
    let mut shape = outer_a.to_vec();
    if outer_b.len() > outer_a.len() {
        shape = [&vec![1; outer_b.len() - outer_a.len()], outer_a].concat();
    }
    let batch: usize = outer_a.iter().product();
    let (a, [a_row, a_depth]) = as_batched_matrices(planner, a);
    let (b, [b_depth, b_column]) = as_batched_matrices(planner, b);
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
    let order = row_major_order(shape.len());
    Ok(planner.emit(Kernel::Gemm(gemm), vec![a.buffer, b.buffer], shape, order))
}

/// The tensor as consecutive matrices, each row-major or transposed in memory, with the strides of rows and columns.
fn as_batched_matrices(planner: &mut Planner, tensor: &PlannedTensor) -> (PlannedTensor, [usize; 2]) {
    let rank = tensor.shape.len();
    let (rows, columns) = (tensor.shape[rank - 2], tensor.shape[rank - 1]);
    let mut transposed = row_major_order(rank);
    transposed.swap(rank - 2, rank - 1);
    if tensor.is_layout(&transposed) && rows != 1 && columns != 1 {
        return (tensor.clone(), [1, rows]);
    }
    (planner.contiguous(tensor), [columns, 1])
}
