//! [`Shader`]: the source of a kernel, put together from its `.wgsl` and what is known when it is planned.

use std::fmt::Write;

use crate::precision::Precision;

/// Workgroups along x; more are counted along y.
pub(crate) const GROUPS_ACROSS: u32 = 65_535;

/// A buffer that a kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// One number at a time.
    Numbers,
    /// Four numbers at a time.
    Fours,
}

/// A WGSL source that grows from the top.
pub(crate) struct Shader {
    source: String,
}

impl Shader {
    /// Declares what every kernel has: `size`, the buffers `in0`, `in1`, … that it reads, and `out`.
    ///
    /// `T` is what a number is in them.
    pub(crate) fn new(precision: Precision, inputs: &[Reads], writes: Reads) -> Self {
        let mut source = String::new();
        if precision == Precision::F16 {
            source.push_str("enable f16;\n");
        }
        let _ = writeln!(source, "alias T = {};", precision.name());
        source.push_str(include_str!("shader.wgsl"));
        let element = |reads: &Reads| match reads {
            Reads::Numbers => "T",
            Reads::Fours => "vec4<T>",
        };
        for (number, reads) in inputs.iter().enumerate() {
            let (binding, element) = (number + 1, element(reads));
            let _ = writeln!(source, "@group(0) @binding({binding}) var<storage, read> in{number}: array<{element}>;");
        }
        let (binding, element) = (inputs.len() + 1, element(&writes));
        let _ = writeln!(source, "@group(0) @binding({binding}) var<storage, read_write> out: array<{element}>;");
        Self { source }
    }

    /// Turns on an extension of WGSL.
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

/// Writes out the loops of a source, whose sums then are registers in every driver.
///
/// ```text
/// #for i in ROWS
/// let a#i = load(#i);
/// #end
/// ```
/// Loops may stand in each other; `sizes` says how often each is run.
pub(crate) fn unroll(source: &str, sizes: &[(&str, usize)]) -> String {
    let mut out = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let Some((name, size)) = line.trim().strip_prefix("#for ").and_then(|head| head.split_once(" in ")) else {
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
        let times = sizes.iter().find(|(known, _)| *known == size).map_or(0, |(_, times)| *times);
        for number in 0..times {
            out.push_str(&unroll(&body.replace(&format!("#{name}"), &number.to_string()), sizes));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_written_out() {
        let source = "start\n#for i in N\n#for j in M\na#i_#j\n#end\n#end\nend";
        let unrolled = unroll(source, &[("N", 2), ("M", 2)]);
        assert_eq!(unrolled, "start\na0_0\na0_1\na1_0\na1_1\nend\n");
    }
}
