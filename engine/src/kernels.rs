//! Pure arithmetic on slices. Each kernel has a slow, obvious twin in its tests, named `reference_…`.

mod argmax;
mod normalize;

pub(crate) use argmax::argmax;
pub(crate) use normalize::normalize;
