//! [`BinaryOpKernel`] and [`MonoidKernel`]: the operations of semirings, with SQL's semantics.
//!
//! `TimesOp`, `PlusMonoid` and the other structs are the typed counterparts of the variants of `BinaryOp` and `Monoid`
//! (`sparse/semiring.rs`), for which the kernels are monomorphised.

use super::scalar::{Float, Scalar};

/// A multiplicative operator (GraphBLAS `BinaryOp`).
pub(crate) trait BinaryOpKernel<T>: Copy + Send + Sync + 'static {
    /// Integers wrap around at `wrap_bits` bits.
    fn multiply(left: T, right: T, wrap_bits: u32) -> T;

    /// The same for operands that may be NULL.
    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, wrap_bits: u32) -> Option<T> {
        Some(Self::multiply(left?, right?, wrap_bits))
    }
}

macro_rules! binary_op {
    ($(#[$doc:meta])* $name:ident, |$left:ident, $right:ident, $wrap_bits:ident| $product:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl<T: Scalar> BinaryOpKernel<T> for $name {
            #[inline(always)]
            fn multiply($left: T, $right: T, $wrap_bits: u32) -> T {
                $product
            }
        }
    };
}

binary_op!(
    /// `a * b`
    TimesOp, |left, right, wrap_bits| left.wrapping_mul_bits(right, wrap_bits)
);
binary_op!(
    /// `a + b`
    PlusOp, |left, right, wrap_bits| left.wrapping_add_bits(right, wrap_bits)
);
/// `a / b`
#[derive(Debug, Clone, Copy)]
pub(crate) struct DivOp;

impl<T: Float> BinaryOpKernel<T> for DivOp {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        left.div(right)
    }
}

/// An operator that skips NULLs: with one NULL operand, the result is the other operand.
#[inline(always)]
fn skip_nulls<T, Op: BinaryOpKernel<T>>(left: Option<T>, right: Option<T>, wrap_bits: u32) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Op::multiply(left, right, wrap_bits)),
        (left, right) => left.or(right),
    }
}

/// `LEAST(a, b)`, which skips NULLs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinOp;

impl<T: Scalar> BinaryOpKernel<T> for MinOp {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        if left.total_gt(right) { right } else { left }
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, wrap_bits: u32) -> Option<T> {
        skip_nulls::<T, Self>(left, right, wrap_bits)
    }
}

/// `GREATEST(a, b)`, which skips NULLs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxOp;

impl<T: Scalar> BinaryOpKernel<T> for MaxOp {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        if right.total_gt(left) { right } else { left }
    }

    #[inline(always)]
    fn multiply_nullable(left: Option<T>, right: Option<T>, wrap_bits: u32) -> Option<T> {
        skip_nulls::<T, Self>(left, right, wrap_bits)
    }
}

/// `a AND b`: false AND NULL is false.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LAndOp;

impl BinaryOpKernel<bool> for LAndOp {
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

/// `a OR b`: true OR NULL is true.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LOrOp;

impl BinaryOpKernel<bool> for LOrOp {
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

/// An additive monoid (GraphBLAS `Monoid`).
pub(crate) trait MonoidKernel<T>: Copy + Send + Sync + 'static {
    const IDENTITY: T;

    fn add(accumulator: &mut T, product: T);
}

/// `SUM`
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlusMonoid;

macro_rules! plus_monoid {
    ($type:ty, $identity:expr, |$accumulator:ident, $product:ident| $add:expr) => {
        impl MonoidKernel<$type> for PlusMonoid {
            const IDENTITY: $type = $identity;

            #[inline(always)]
            fn add($accumulator: &mut $type, $product: $type) {
                $add;
            }
        }
    };
}

plus_monoid!(f64, 0.0, |accumulator, product| *accumulator += product);
plus_monoid!(i64, 0, |accumulator, product| *accumulator = accumulator.wrapping_add(product));
plus_monoid!(u64, 0, |accumulator, product| *accumulator = accumulator.wrapping_add(product));
plus_monoid!(i128, 0, |accumulator, product| *accumulator = accumulator.wrapping_add(product));

/// `MIN`. NaN is above all numbers, and -0 below +0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinMonoid;

impl<T: Scalar> MonoidKernel<T> for MinMonoid {
    const IDENTITY: T = T::LARGEST;

    #[inline(always)]
    fn add(accumulator: &mut T, product: T) {
        // A NaN with the sign bit is below all numbers by totalOrder.
        if accumulator.total_gt(product) && !product.is_nan() {
            *accumulator = product;
        }
    }
}

/// `MAX`. NaN is above all numbers, and -0 below +0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxMonoid;

impl<T: Scalar> MonoidKernel<T> for MaxMonoid {
    const IDENTITY: T = T::SMALLEST;

    #[inline(always)]
    fn add(accumulator: &mut T, product: T) {
        let product = if product.is_nan() { T::LARGEST } else { product };
        if product.total_gt(*accumulator) {
            *accumulator = product;
        }
    }
}

/// `BOOL_OR`
#[derive(Debug, Clone, Copy)]
pub(crate) struct LOrMonoid;

impl MonoidKernel<bool> for LOrMonoid {
    const IDENTITY: bool = false;

    #[inline(always)]
    fn add(accumulator: &mut bool, product: bool) {
        *accumulator |= product;
    }
}

/// `BOOL_AND`
#[derive(Debug, Clone, Copy)]
pub(crate) struct LAndMonoid;

impl MonoidKernel<bool> for LAndMonoid {
    const IDENTITY: bool = true;

    #[inline(always)]
    fn add(accumulator: &mut bool, product: bool) {
        *accumulator &= product;
    }
}
