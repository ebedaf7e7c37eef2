//! [`number`]: ids of 32 bits for keys, groups and entries.

use datafusion::error::Result;

use super::kernels::NONE;
use crate::error::Error;

/// The next number, of things of which there are so many.
///
/// # Errors
/// When there are more than 32 bits can number, one of which stands for none.
pub(super) fn number(count: usize, what: &'static str) -> Result<u32> {
    match u32::try_from(count) {
        Ok(number) if number < NONE => Ok(number),
        _ => Err(Error::SparseTooLarge { what }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_before_the_one_that_stands_for_none() {
        assert_eq!(number(4_294_967_294, "groups").unwrap(), u32::MAX - 1);
        for count in [4_294_967_295, 4_294_967_296, usize::MAX] {
            let error = number(count, "groups").unwrap_err();
            let sentence =
                "a sparse product holds at most 4,294,967,294 groups; SET ocelli.sparse_matmul = false runs the join";
            assert_eq!(crate::explain(&error), sentence);
        }
    }
}
