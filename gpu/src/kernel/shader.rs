//! [`Shader`]: builds the WGSL source of a kernel from its `.wgsl` template and the constants known at plan time.

use std::fmt::Write;

use crate::precision::Precision;

/// Workgroups along x, wgpu's default `max_compute_workgroups_per_dimension`; the rest go along y.
pub(crate) const MAX_WORKGROUPS_X: u32 = 65_535;

/// The element type of a storage binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingType {
    Scalar,
    /// Vectors of four elements, for 128-bit loads of 32-bit floats.
    Vec4,
}

/// A WGSL source under construction.
pub(crate) struct Shader {
    source: String,
}

impl Shader {
    /// Declares what every kernel has: the uniform `dispatch`, the input buffers `in0`, `in1`, …, and the output `out`.
    ///
    /// `T` is the scalar type of the buffers.
    pub(crate) fn new(precision: Precision, inputs: &[BindingType], output: BindingType) -> Self {
        let mut source = String::new();
        if precision == Precision::F16 {
            source.push_str("enable f16;\n");
        }
        let _ = writeln!(source, "alias T = {};", precision.name());
        source.push_str(include_str!("shader.wgsl"));
        let element_type = |binding_type: &BindingType| match binding_type {
            BindingType::Scalar => "T",
            BindingType::Vec4 => "vec4<T>",
        };
        for (index, input) in inputs.iter().enumerate() {
            let (binding, element) = (index + 1, element_type(input));
            let _ = writeln!(source, "@group(0) @binding({binding}) var<storage, read> in{index}: array<{element}>;");
        }
        let (binding, element) = (inputs.len() + 1, element_type(&output));
        let _ = writeln!(source, "@group(0) @binding({binding}) var<storage, read_write> out: array<{element}>;");
        Self { source }
    }

    /// Adds an `enable` directive.
    pub(crate) fn enable(mut self, extension: &str) -> Self {
        self.source.insert_str(0, &format!("enable {extension};\n"));
        self
    }

    pub(crate) fn constant(mut self, name: &str, value: usize) -> Self {
        let _ = writeln!(self.source, "const {name}: u32 = {value}u;");
        self
    }

    pub(crate) fn push(mut self, code: &str) -> Self {
        self.source.push_str(code);
        self
    }

    pub(crate) fn build(self) -> String {
        self.source
    }
}

/// Unrolls the `#for` loops of a template, so that every driver keeps the accumulators in registers.
///
/// ```text
/// #for i in ROWS
/// let a#i = load(#i);
/// #end
/// ```
/// Loops may be nested; `trip_counts` gives the iterations of each by name.
pub(crate) fn unroll(source: &str, trip_counts: &[(&str, usize)]) -> String {
    let mut out = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let Some((variable, count)) = line.trim().strip_prefix("#for ").and_then(|head| head.split_once(" in ")) else {
            let _ = writeln!(out, "{line}");
            continue;
        };
        let mut body = String::new();
        let mut depth = 1;
        for line in lines.by_ref() {
            depth += usize::from(line.trim().starts_with("#for "));
            depth -= usize::from(line.trim() == "#end");
            if depth == 0 {
                break;
            }
            let _ = writeln!(body, "{line}");
        }
        let trip_count = trip_counts.iter().find(|(name, _)| *name == count).map_or(0, |(_, trip_count)| *trip_count);
        for iteration in 0..trip_count {
            out.push_str(&unroll(&body.replace(&format!("#{variable}"), &iteration.to_string()), trip_counts));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unroll_expands_nested_loops() {
        let source = "start\n#for i in N\n#for j in M\na#i_#j\n#end\n#end\nend";
        let unrolled = unroll(source, &[("N", 2), ("M", 2)]);
        assert_eq!(unrolled, "start\na0_0\na0_1\na1_0\na1_1\nend\n");
    }
}
