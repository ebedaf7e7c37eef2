//! Pure arithmetic on slices. Each kernel has a slow, obvious twin in its tests, named `reference_…`.

mod argmax;
mod largest;
mod normalize;
mod softmax;
pub(crate) mod sparse_matmul;
mod unit_length;

pub(crate) use argmax::argmax;
pub(crate) use largest::largest;
pub(crate) use normalize::normalize;
pub(crate) use softmax::softmax;
pub(crate) use unit_length::scale_to_unit_length;
