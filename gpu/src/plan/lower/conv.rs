//! Convolutions: an implicit GEMM over im2col windows, or depthwise.

use crate::error::Error;
use crate::graph::{Constant, Node};
use crate::kernel::{Binary, Depthwise, Expression, Gemm, Kernel, LhsLayout, RhsLayout, Term, Window, padded_depth};
use crate::plan::planner::{Lowered, PlanValue, Planner};
use crate::plan::tensor::NHWC;

/// `X [batch, channels, height, width], W [out, channels / group, kernel height, kernel width], B [out]?`
pub(super) fn conv(planner: &mut Planner, node: &Node) -> Lowered {
    let x = planner.input(node, 0)?;
    let Some(weights) = planner.constant(node, 1)? else { return Err(node.unsupported("it has no weights")) };
    let ([batch, in_channels, height, width], [channels, depth, kernel_height, kernel_width]) =
        (&x.shape[..], &weights.shape[..])
    else {
        return Err(node.unsupported(format!("its input has shape {:?}; only 2-D convolutions are supported", x.shape)));
    };
    let (batch, in_channels, channels, depth) = (*batch, *in_channels, *channels, *depth);
    let group = usize::try_from(node.int("group", 1)).unwrap_or(0);
    if group == 0 || depth.checked_mul(group) != Some(in_channels) || channels % group != 0 {
        let reason = format!(
            "{group} groups of {depth} channels do not match {in_channels} input and {channels} output channels"
        );
        return Err(node.unsupported(reason));
    }
    let window = window(node, [*height, *width], [*kernel_height, *kernel_width], false)?;
    let (pixels, in_channels) = planner.ensure_nhwc(&x, group == 1);
    let name = planner.name(node.input(1).unwrap_or_default(), &weights);
    let [kernel_height, kernel_width] = window.kernel;
    let taps = kernel_height * kernel_width;
    let out_shape = vec![batch, channels, window.output[0], window.output[1]];
    let values = weights.to_floats();
    let (kernel, packed) = if depth == 1 && group > 1 {
        // [tap, channel]
        let packed = planner.weights(format!("{name} by taps"), taps * channels, move || {
            (0..taps * channels).map(|i| values[i % channels * taps + i / channels]).collect()
        });
        (Kernel::Depthwise(Depthwise { window, in_channels, channels }), packed)
    } else {
        // [channel, tap, depth]: depth padded like the pixels, and each row to a multiple of four elements.
        let wide = if group == 1 { in_channels } else { depth };
        let (row, padded) = (taps * wide, padded_depth(taps * wide));
        let packed = planner.weights(format!("{name} in rows of {wide}"), channels * padded, move || {
            let mut packed = vec![0.0; channels * padded];
            for (i, &value) in values.iter().enumerate() {
                let (channel, rest) = (i / (taps * depth), i % (taps * depth));
                packed[channel * padded + rest % taps * wide + rest / taps] = value;
            }
            packed
        });
        let gemm = Gemm {
            m: batch * window.output_positions(),
            k: row,
            n: channels / group,
            batch: group,
            a: LhsLayout::Im2col { window, in_channels, channels: wide },
            b: RhsLayout::Packed,
            out_batch_stride: channels / group,
            ldc: channels,
        };
        (Kernel::Gemm(gemm), packed)
    };
    let (mut epilogue, mut operands) = (Expression::identity(), Vec::new());
    if let Some(bias) = planner.constant(node, 2)? {
        // Broadcast along the channel axis.
        let shaped =
            PlanValue::Constant(Constant { shape: vec![bias.len(), 1, 1], values: bias.values.clone() }.into());
        let term = planner.term(node, "", &shaped, (&out_shape, &NHWC), &mut operands)?;
        let bias = epilogue.push(term);
        epilogue.push(Term::Binary(Binary::Add, 0, bias));
    }
    let out = planner.emit_with_epilogue(kernel, vec![pixels, packed], out_shape, NHWC.to_vec(), epilogue, operands);
    Ok(vec![PlanValue::Tensor(out)])
}

/// The window given by a node's attributes.
pub(super) fn window(node: &Node, input: [usize; 2], kernel: [usize; 2], rounds_up: bool) -> Result<Window, Error> {
    /// A limit on spatial sizes that rules out overflow.
    const MAX_SPATIAL_SIZE: i64 = 1 << 20;
    let pair = |name: &str| -> Result<[usize; 2], Error> {
        match node.ints(name) {
            None => Ok([1, 1]),
            Some(&[down, across])
                if (1..=MAX_SPATIAL_SIZE).contains(&down) && (1..=MAX_SPATIAL_SIZE).contains(&across) =>
            {
                Ok([down as usize, across as usize])
            }
            Some(other) => Err(node.unsupported(format!("{name} {other:?} is not supported"))),
        }
    };
    let (strides, dilations) = (pair("strides")?, pair("dilations")?);
    let auto = node.text("auto_pad").unwrap_or("NOTSET");
    if !["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(&auto) {
        return Err(node.unsupported(format!("auto_pad '{auto}' is unknown")));
    }
    let (mut pads_begin, mut pads_end) = match node.ints("pads") {
        Some(&[top, left, bottom, right])
            if auto == "NOTSET"
                && [top, left, bottom, right].iter().all(|pad| (0..=MAX_SPATIAL_SIZE).contains(pad)) =>
        {
            ([top as usize, left as usize], [bottom as usize, right as usize])
        }
        Some(other) if auto == "NOTSET" => return Err(node.unsupported(format!("pads {other:?} are not supported"))),
        _ => ([0, 0], [0, 0]),
    };
    if kernel.iter().chain(&input).any(|&size| size > MAX_SPATIAL_SIZE as usize) {
        return Err(node.unsupported(format!("a window of {kernel:?} over {input:?} is too large")));
    }
    let mut output = [0, 0];
    for axis in 0..2 {
        let span = dilations[axis].saturating_mul(kernel[axis].saturating_sub(1)) + 1;
        if auto.starts_with("SAME") {
            let steps = input[axis].div_ceil(strides[axis]);
            let pad = (steps.saturating_sub(1) * strides[axis] + span).saturating_sub(input[axis]);
            let (less, more) = (pad / 2, pad - pad / 2);
            (pads_begin[axis], pads_end[axis]) = if auto == "SAME_LOWER" { (more, less) } else { (less, more) };
        }
        let padded = input[axis] + pads_begin[axis] + pads_end[axis];
        let Some(extent) = padded.checked_sub(span).filter(|_| kernel[axis] > 0) else {
            return Err(
                node.unsupported(format!("a window of {kernel:?} is larger than the padded input of {input:?}"))
            );
        };
        output[axis] = if rounds_up { extent.div_ceil(strides[axis]) } else { extent / strides[axis] } + 1;
        // Windows that start beyond the input are dropped.
        if rounds_up && (output[axis] - 1) * strides[axis] >= input[axis] + pads_begin[axis] {
            output[axis] -= 1;
        }
    }
    Ok(Window { input, output, kernel, strides, dilations, pads_begin, pads_end })
}
