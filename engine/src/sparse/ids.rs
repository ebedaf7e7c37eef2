//! [`checked_id`]: 32-bit ids of keys, groups and rows.

use datafusion::error::Result;

use super::kernels::NULL_ID;
use crate::error::Error;

/// Converts `count` to an id, the next one after ids `0..count`.
///
/// # Errors
/// When it does not fit 32 bits or equals [`NULL_ID`]. `what` names the counted items in the message.
pub(super) fn checked_id(count: usize, what: &'static str) -> Result<u32> {
    match u32::try_from(count) {
        Ok(id) if id < NULL_ID => Ok(id),
        _ => Err(Error::SparseIndexOverflow { what }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_before_the_null_id() {
        assert_eq!(checked_id(4_294_967_294, "groups").unwrap(), u32::MAX - 1);
        for count in [4_294_967_295, 4_294_967_296, usize::MAX] {
            let error = checked_id(count, "groups").unwrap_err();
            let message = "a sparse product supports at most 4,294,967,294 groups; use SET ocelli.sparse_matmul = false to run the join";
            assert_eq!(crate::user_message(&error), message);
        }
    }
}
