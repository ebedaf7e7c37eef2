//! [`StridedLayout`]: the strided layout that maps the linear index `i` of a kernel to an offset in a buffer.

/// Dimensions, the outermost first, with their strides in elements.
///
/// The size of the outermost dimension is not part of the generated code, so that every batch size shares one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StridedLayout {
    pub(crate) dims: Vec<usize>,
    /// 0 along broadcast dimensions, negative along reversed ones.
    pub(crate) strides: Vec<isize>,
    pub(crate) offset: usize,
}

impl StridedLayout {
    /// The row-major layout of `dims`.
    pub(crate) fn contiguous(dims: &[usize]) -> Self {
        Self { strides: row_major_strides(dims), dims: dims.to_vec(), offset: 0 }
    }

    /// Whether every index maps to itself.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.to_wgsl("i") == "i"
    }

    /// The offset of index `i` as a WGSL expression.
    pub(crate) fn to_wgsl(&self, i: &str) -> String {
        let coalesced = self.coalesced();
        let mut inner = 1;
        let mut terms = Vec::new();
        if self.offset > 0 {
            terms.push(format!("{}u", self.offset));
        }
        for (axis, &(dim, stride)) in coalesced.iter().enumerate().rev() {
            let is_outermost = axis == 0;
            if stride != 0 {
                let mut index = if inner == 1 { i.to_owned() } else { format!("({i} / {inner}u)") };
                if !is_outermost {
                    index = format!("({index} % {dim}u)");
                }
                terms.push(match stride {
                    1 => index,
                    // Negative strides rely on wrapping unsigned arithmetic.
                    _ => format!("{index} * {}u", stride as i32 as u32),
                });
            }
            inner *= dim;
        }
        match terms.len() {
            0 => "0u".to_owned(),
            1 => terms.remove(0),
            _ => format!("({})", terms.join(" + ")),
        }
    }

    /// The same mapping in the fewest dimensions, as `(dim, stride)`.
    fn coalesced(&self) -> Vec<(usize, isize)> {
        let mut coalesced: Vec<(usize, isize)> = Vec::new();
        for (&dim, &stride) in self.dims.iter().zip(&self.strides) {
            match coalesced.last_mut() {
                _ if dim == 1 => {}
                Some((outer, outer_stride)) if *outer_stride == stride * dim as isize => {
                    *outer *= dim;
                    *outer_stride = stride;
                }
                _ => coalesced.push((dim, stride)),
            }
        }
        coalesced
    }
}

/// Row-major strides: the last dimension has stride 1.
pub(crate) fn row_major_strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wgsl(dims: &[usize], strides: &[isize], offset: usize) -> String {
        StridedLayout { dims: dims.to_vec(), strides: strides.to_vec(), offset }.to_wgsl("i")
    }

    #[test]
    fn contiguous_dimensions_are_coalesced() {
        assert_eq!(wgsl(&[2, 3, 4], &[12, 4, 1], 0), "i");
        assert_eq!(wgsl(&[2, 1, 4], &[4, 99, 1], 0), "i");
        assert_eq!(wgsl(&[2, 3, 4], &[0, 0, 0], 0), "0u");
        assert_eq!(wgsl(&[2, 3, 4], &[0, 0, 1], 0), "(i % 4u)");
        assert_eq!(wgsl(&[2, 3, 4], &[4, 0, 1], 0), "((i % 4u) + (i / 12u) * 4u)");
        assert_eq!(wgsl(&[2, 3], &[1, 2], 0), "((i % 3u) * 2u + (i / 3u))");
        assert_eq!(wgsl(&[4], &[-1], 3), "(3u + i * 4294967295u)");
        assert_eq!(wgsl(&[], &[], 5), "5u");
    }

    #[test]
    fn the_outermost_size_is_not_in_the_code() {
        assert_eq!(wgsl(&[2, 5, 4], &[20, 1, 5], 0), wgsl(&[9, 5, 4], &[20, 1, 5], 0));
    }
}
