//! [`Ring`]: what a product multiplies, and what it adds up.
//!
//! A semiring's two operations, and SQL's three truths: a product with a NULL is NULL unless [`Multiply`] says otherwise, and
//! a NULL is not added. Numbers behave as DataFusion's do, to the bit.

use std::marker::PhantomData;

use super::ops::{Add, Multiply};
use super::scalar::{Value, Widen};

/// Values of type `T`, multiplied by `M` and added up by `A` in `S`.
pub(crate) struct Ring<T, S, M, A> {
    /// Of integers: where products wrap around.
    bits: u32,
    operations: PhantomData<fn(T, M, A) -> S>,
}

impl<T, S, M, A> Ring<T, S, M, A> {
    pub(crate) fn new(bits: u32) -> Self {
        Self { bits, operations: PhantomData }
    }
}

impl<T, S, M, A> Clone for Ring<T, S, M, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, S, M, A> Copy for Ring<T, S, M, A> {}

/// What the kernels ask of a [`Ring`].
pub(crate) trait Semiring: Copy + Send + Sync + 'static {
    type Value: Value;
    type Sum: Value;
    const ZERO: Self::Sum;

    fn multiply(self, left: Self::Value, right: Self::Value) -> Self::Sum;

    fn multiply_nullable(self, left: Option<Self::Value>, right: Option<Self::Value>) -> Option<Self::Sum>;

    fn add(self, sum: &mut Self::Sum, product: Self::Sum);
}

impl<T, S, M, A> Semiring for Ring<T, S, M, A>
where
    T: Value + Widen<S>,
    S: Value,
    M: Multiply<T>,
    A: Add<S>,
{
    type Value = T;
    type Sum = S;
    const ZERO: S = A::ZERO;

    #[inline(always)]
    fn multiply(self, left: T, right: T) -> S {
        M::multiply(left, right, self.bits).widen()
    }

    #[inline(always)]
    fn multiply_nullable(self, left: Option<T>, right: Option<T>) -> Option<S> {
        M::multiply_nullable(left, right, self.bits).map(Widen::widen)
    }

    #[inline(always)]
    fn add(self, sum: &mut S, product: S) {
        A::add(sum, product);
    }
}
