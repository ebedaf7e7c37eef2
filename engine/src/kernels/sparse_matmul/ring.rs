//! [`Ring`]: what a product multiplies, and what it adds up.
//!
//! A semiring's two operations, and SQL's three truths: a product with a NULL is NULL unless [`Multiply`] says otherwise, and
//! a NULL is not added. Numbers behave as DataFusion's do, to the bit.

use std::cmp::Ordering;
use std::marker::PhantomData;

/// What the values of matrices are.
pub(crate) trait Value: Copy + Default + Send + Sync + 'static {
    /// What a matrix without values has at each entry.
    const ONE: Self;
}

/// A value that is counted with.
pub(crate) trait Number: Value + PartialOrd {
    /// Where a smallest one starts.
    const HIGHEST: Self;
    /// Where a largest one starts.
    const LOWEST: Self;
    /// Wraps around at `bits` bits where there are such.
    fn times(self, other: Self, bits: u32) -> Self;
    /// Wraps around at `bits` bits where there are such.
    fn plus(self, other: Self, bits: u32) -> Self;
    fn over(self, other: Self) -> Self;
    /// By the order of all values, in which NaN is above everything and -0 below 0.
    fn is_above(self, other: Self) -> bool;
}

/// What a sum of numbers is kept in.
pub(crate) trait Widen<S> {
    fn widen(self) -> S;
}

macro_rules! float {
    ($type:ty) => {
        impl Value for $type {
            const ONE: Self = 1.0;
        }

        impl Number for $type {
            const HIGHEST: Self = <$type>::MAX;
            const LOWEST: Self = <$type>::MIN;

            #[inline(always)]
            fn times(self, other: Self, _: u32) -> Self {
                self * other
            }

            #[inline(always)]
            fn plus(self, other: Self, _: u32) -> Self {
                self + other
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }

            #[inline(always)]
            fn is_above(self, other: Self) -> bool {
                self.total_cmp(&other).is_gt()
            }
        }
    };
}

float!(f64);
float!(f32);

macro_rules! integer {
    ($type:ty) => {
        impl Value for $type {
            const ONE: Self = 1;
        }

        impl Number for $type {
            const HIGHEST: Self = <$type>::MAX;
            const LOWEST: Self = <$type>::MIN;

            #[inline(always)]
            fn times(self, other: Self, bits: u32) -> Self {
                let unused = <$type>::BITS - bits;
                self.wrapping_mul(other) << unused >> unused
            }

            #[inline(always)]
            fn plus(self, other: Self, bits: u32) -> Self {
                let unused = <$type>::BITS - bits;
                self.wrapping_add(other) << unused >> unused
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                // Integers are not divided: it may fail.
                debug_assert!(other == 1);
                self
            }

            #[inline(always)]
            fn is_above(self, other: Self) -> bool {
                self > other
            }
        }
    };
}

integer!(i64);
integer!(u64);
integer!(i128);

impl Value for bool {
    const ONE: Self = true;
}

impl<T: Number> Widen<T> for T {
    #[inline(always)]
    fn widen(self) -> T {
        self
    }
}

impl Widen<f64> for f32 {
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }
}

/// SQL's cast of integers to DOUBLE: the nearest one.
macro_rules! as_f64 {
    ($type:ty) => {
        impl Widen<f64> for $type {
            #[inline(always)]
            fn widen(self) -> f64 {
                self as f64
            }
        }
    };
}

as_f64!(i64);
as_f64!(u64);

/// The operation between two factors.
pub(crate) trait Multiply<T>: Copy + Send + Sync + 'static {
    fn multiply(left: T, right: T, bits: u32) -> T;

    /// The same where either may be NULL.
    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, bits: u32) -> Option<T> {
        Some(Self::multiply(left?, right?, bits))
    }
}

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident, |$left:ident, $right:ident, $bits:ident| $product:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl<T: Number> Multiply<T> for $name {
            #[inline(always)]
            fn multiply($left: T, $right: T, $bits: u32) -> T {
                $product
            }
        }
    };
}

operation!(
    /// `a * b`
    Times, |left, right, bits| left.times(right, bits)
);
operation!(
    /// `a + b`
    Plus, |left, right, bits| left.plus(right, bits)
);
operation!(
    /// `a / b`
    Over, |left, right, _bits| left.over(right)
);

/// `LEAST(a, b)`, which passes over NULLs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Least;

impl<T: Number> Multiply<T> for Least {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        if left.is_above(right) { right } else { left }
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, bits: u32) -> Option<T> {
        match (left, right) {
            (Some(left), Some(right)) => Some(Self::multiply(left, right, bits)),
            (one, other) => one.or(other),
        }
    }
}

/// `GREATEST(a, b)`, which passes over NULLs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greatest;

impl<T: Number> Multiply<T> for Greatest {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        if right.is_above(left) { right } else { left }
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, bits: u32) -> Option<T> {
        match (left, right) {
            (Some(left), Some(right)) => Some(Self::multiply(left, right, bits)),
            (one, other) => one.or(other),
        }
    }
}

/// `a AND b`: false with NULL is false.
#[derive(Debug, Clone, Copy)]
pub(crate) struct And;

impl Multiply<bool> for And {
    #[inline(always)]
    fn multiply(left: bool, right: bool, _: u32) -> bool {
        left & right
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<bool>, right: Option<bool>, _: u32) -> Option<bool> {
        match (left, right) {
            (Some(left), Some(right)) => Some(left & right),
            (Some(false), None) | (None, Some(false)) => Some(false),
            _ => None,
        }
    }
}

/// `a OR b`: true with NULL is true.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Or;

impl Multiply<bool> for Or {
    #[inline(always)]
    fn multiply(left: bool, right: bool, _: u32) -> bool {
        left | right
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<bool>, right: Option<bool>, _: u32) -> Option<bool> {
        match (left, right) {
            (Some(left), Some(right)) => Some(left | right),
            (Some(true), None) | (None, Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// What products of one place are added up to.
pub(crate) trait Add<S>: Copy + Send + Sync + 'static {
    /// Where it starts.
    const ZERO: S;

    fn add(sum: &mut S, product: S);
}

/// `SUM`
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum;

macro_rules! sum {
    ($type:ty, $zero:expr, |$sum:ident, $product:ident| $add:expr) => {
        impl Add<$type> for Sum {
            const ZERO: $type = $zero;

            #[inline(always)]
            fn add($sum: &mut $type, $product: $type) {
                $add;
            }
        }
    };
}

sum!(f64, 0.0, |sum, product| *sum += product);
sum!(i64, 0, |sum, product| *sum = sum.wrapping_add(product));
sum!(u64, 0, |sum, product| *sum = sum.wrapping_add(product));
sum!(i128, 0, |sum, product| *sum = sum.wrapping_add(product));

/// `MIN`. With NaN among the products it depends on their order, as DataFusion's does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Min;

impl<S: Number> Add<S> for Min {
    const ZERO: S = S::HIGHEST;

    #[inline(always)]
    fn add(sum: &mut S, product: S) {
        match product.partial_cmp(sum) {
            Some(Ordering::Less) | None => *sum = product,
            _ => {}
        }
    }
}

/// `MAX`. With NaN among the products it depends on their order, as DataFusion's does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Max;

impl<S: Number> Add<S> for Max {
    const ZERO: S = S::LOWEST;

    #[inline(always)]
    fn add(sum: &mut S, product: S) {
        match product.partial_cmp(sum) {
            Some(Ordering::Greater) | None => *sum = product,
            _ => {}
        }
    }
}

/// `BOOL_OR`
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyTrue;

impl Add<bool> for AnyTrue {
    const ZERO: bool = false;

    #[inline(always)]
    fn add(sum: &mut bool, product: bool) {
        *sum |= product;
    }
}

/// `BOOL_AND`
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllTrue;

impl Add<bool> for AllTrue {
    const ZERO: bool = true;

    #[inline(always)]
    fn add(sum: &mut bool, product: bool) {
        *sum &= product;
    }
}

/// Values of type `T`, multiplied by `M` and added up by `A` in `S`.
pub(crate) struct Ring<T, S, M, A> {
    /// Of integers: where products wrap around.
    pub(crate) bits: u32,
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

impl Widen<bool> for bool {
    #[inline(always)]
    fn widen(self) -> bool {
        self
    }
}
