//! Pooling.

use super::conv::window;
use crate::graph::Node;
use crate::kernel::{Kernel, Pool};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::NHWC;

/// `X [batch, channels, height, width]`
pub(super) fn pool(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let (&[batch, channels, height, width], Some(&[down, across])) = (&x.shape[..], node.ints("kernel_shape")) else {
        return Err(node.unsupported(format!("its input has shape {:?}; only 2-D pooling is supported", x.shape)));
    };
    if node.outputs.len() > 1 || node.int("storage_order", 0) != 0 {
        return Err(node.unsupported("its Indices output is not supported"));
    }
    let kernel = [usize::try_from(down).unwrap_or(0), usize::try_from(across).unwrap_or(0)];
    let window = window(node, [height, width], kernel, node.int("ceil_mode", 0) != 0)?;
    let x = planner.ensure_layout(&x, &NHWC);
    let is_max = node.op == "MaxPool";
    let kernel =
        Kernel::Pool(Pool { window, channels, is_max, count_include_pad: node.int("count_include_pad", 0) != 0 });
    let shape = vec![batch, channels, window.output[0], window.output[1]];
    Ok(vec![PlanValue::Tensor(planner.emit(kernel, vec![x.buffer], shape, NHWC.to_vec()))])
}
