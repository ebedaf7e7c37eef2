//! [`TypedSemiring`]: a semiring over concrete types.
//!
//! SQL's three-valued logic applies: multiplying by NULL gives NULL unless the [`BinaryOpKernel`] overrides it, and the
//! monoid skips NULLs. Arithmetic is bit-identical to DataFusion's.

use std::marker::PhantomData;

use super::ops::{BinaryOpKernel, MonoidKernel};
use super::scalar::{Element, Widen};

/// Values of type `T`, multiplied by `Op` and accumulated by `M` in type `A`.
pub(crate) struct TypedSemiring<T, A, Op, M> {
    /// The width at which integer products wrap around.
    wrap_bits: u32,
    operations: PhantomData<fn(T, Op, M) -> A>,
}

impl<T, A, Op, M> TypedSemiring<T, A, Op, M> {
    pub(crate) fn new(wrap_bits: u32) -> Self {
        Self { wrap_bits, operations: PhantomData }
    }
}

impl<T, A, Op, M> Clone for TypedSemiring<T, A, Op, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, A, Op, M> Copy for TypedSemiring<T, A, Op, M> {}

/// The operations of a [`TypedSemiring`], as the kernels call them.
pub(crate) trait SemiringOps: Copy + Send + Sync + 'static {
    type Value: Element;
    type Accumulator: Element;
    /// The identity of the additive monoid.
    const IDENTITY: Self::Accumulator;

    fn multiply(self, left: Self::Value, right: Self::Value) -> Self::Accumulator;

    fn multiply_nullable(self, left: Option<Self::Value>, right: Option<Self::Value>) -> Option<Self::Accumulator>;

    fn add(self, accumulator: &mut Self::Accumulator, product: Self::Accumulator);
}

impl<T, A, Op, M> SemiringOps for TypedSemiring<T, A, Op, M>
where
    T: Element + Widen<A>,
    A: Element,
    Op: BinaryOpKernel<T>,
    M: MonoidKernel<A>,
{
    type Value = T;
    type Accumulator = A;
    const IDENTITY: A = M::IDENTITY;

    #[inline(always)]
    fn multiply(self, left: T, right: T) -> A {
        Op::multiply(left, right, self.wrap_bits).widen()
    }

    #[inline(always)]
    fn multiply_nullable(self, left: Option<T>, right: Option<T>) -> Option<A> {
        Op::multiply_nullable(left, right, self.wrap_bits).map(Widen::widen)
    }

    #[inline(always)]
    fn add(self, accumulator: &mut A, product: A) {
        M::add(accumulator, product);
    }
}
