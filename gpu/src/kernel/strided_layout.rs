//! [`Places`]: where a kernel finds the number that belongs to place `i` of what it makes.

/// A place for each index: dimensions, the outermost first, and how far apart the numbers of each are.
///
/// The size of the outermost dimension is not used: kernels for a batch of another size are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) dims: Vec<usize>,
    /// 0 where a number is used again. Steps backward are negative.
    pub(crate) strides: Vec<isize>,
    pub(crate) offset: usize,
}

impl Places {
    /// All numbers of those dimensions, one behind the other.
    pub(crate) fn dense(dims: &[usize]) -> Self {
        Self { strides: dense_strides(dims), dims: dims.to_vec(), offset: 0 }
    }

    /// Whether place `i` is place `i`.
    pub(crate) fn is_dense(&self) -> bool {
        self.to_wgsl("i") == "i"
    }

    /// The place as an expression in WGSL over the index `i`.
    pub(crate) fn to_wgsl(&self, i: &str) -> String {
        let joined = self.joined();
        let mut inner = 1;
        let mut terms = Vec::new();
        if self.offset > 0 {
            terms.push(format!("{}u", self.offset));
        }
        for (number, &(dim, stride)) in joined.iter().enumerate().rev() {
            let is_outermost = number == 0;
            if stride != 0 {
                let mut index = if inner == 1 { i.to_owned() } else { format!("({i} / {inner}u)") };
                if !is_outermost {
                    index = format!("({index} % {dim}u)");
                }
                terms.push(match stride {
                    1 => index,
                    // Steps backward wrap around, as unsigned numbers do.
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

    /// The same with as few dimensions as possible.
    fn joined(&self) -> Vec<(usize, isize)> {
        let mut joined: Vec<(usize, isize)> = Vec::new();
        for (&dim, &stride) in self.dims.iter().zip(&self.strides) {
            match joined.last_mut() {
                _ if dim == 1 => {}
                Some((outer, outer_stride)) if *outer_stride == stride * dim as isize => {
                    *outer *= dim;
                    *outer_stride = stride;
                }
                _ => joined.push((dim, stride)),
            }
        }
        joined
    }
}

/// Row-major: the last dimension lies together.
pub(crate) fn dense_strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dims: &[usize], strides: &[isize], offset: usize) -> String {
        Places { dims: dims.to_vec(), strides: strides.to_vec(), offset }.to_wgsl("i")
    }

    #[test]
    fn dimensions_that_lie_together_are_one() {
        assert_eq!(shown(&[2, 3, 4], &[12, 4, 1], 0), "i");
        assert_eq!(shown(&[2, 1, 4], &[4, 99, 1], 0), "i");
        assert_eq!(shown(&[2, 3, 4], &[0, 0, 0], 0), "0u");
        assert_eq!(shown(&[2, 3, 4], &[0, 0, 1], 0), "(i % 4u)");
        assert_eq!(shown(&[2, 3, 4], &[4, 0, 1], 0), "((i % 4u) + (i / 12u) * 4u)");
        assert_eq!(shown(&[2, 3], &[1, 2], 0), "((i % 3u) * 2u + (i / 3u))");
        assert_eq!(shown(&[4], &[-1], 3), "(3u + i * 4294967295u)");
        assert_eq!(shown(&[], &[], 5), "5u");
    }

    #[test]
    fn the_outermost_size_is_not_in_the_code() {
        assert_eq!(shown(&[2, 5, 4], &[20, 1, 5], 0), shown(&[9, 5, 4], &[20, 1, 5], 0));
    }
}
