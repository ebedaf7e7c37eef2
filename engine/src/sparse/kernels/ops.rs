//! [`Multiply`] and [`Add`]: the operations of semirings, as SQL has them.

use std::cmp::Ordering;

use super::scalar::{Float, Number};

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
/// `a / b`
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over;

impl<T: Float> Multiply<T> for Over {
    #[inline(always)]
    fn multiply(left: T, right: T, _: u32) -> T {
        left.over(right)
    }
}

/// A product that is the other factor where one is NULL.
#[inline(always)]
fn over_nulls<T, M: Multiply<T>>(left: Option<T>, right: Option<T>, bits: u32) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(M::multiply(left, right, bits)),
        (one, other) => one.or(other),
    }
}

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
        over_nulls::<T, Self>(left, right, bits)
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
        over_nulls::<T, Self>(left, right, bits)
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
