//! [`Scalar`]: the arithmetic of the element types of matrices.

/// An element of a matrix, or an accumulator of its products.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// The value of every entry of an iso-valued matrix.
    const ONE: Self;
}

/// A numeric element.
pub(crate) trait Scalar: Element {
    /// The largest value in SQL's order: NaN without the sign bit, for floats.
    const LARGEST: Self;
    /// The smallest value: negative infinity, for floats.
    const SMALLEST: Self;
    /// The product; integers wrap around at `wrap_bits` bits.
    fn wrapping_mul_bits(self, other: Self, wrap_bits: u32) -> Self;
    /// The sum; integers wrap around at `wrap_bits` bits.
    fn wrapping_add_bits(self, other: Self, wrap_bits: u32) -> Self;
    /// Greater than by IEEE 754 totalOrder: -0 is below +0, and NaN above all numbers, or below them if it has the sign bit.
    fn total_gt(self, other: Self) -> bool;
    fn is_nan(self) -> bool;
}

/// A floating-point element, whose division is infallible.
pub(crate) trait Float: Scalar {
    fn div(self, other: Self) -> Self;
}

/// Conversion of a product to the type of its accumulator, as SQL casts it.
pub(crate) trait Widen<T> {
    fn widen(self) -> T;
}

macro_rules! float {
    ($type:ty) => {
        impl Float for $type {
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                self / other
            }
        }

        impl Element for $type {
            const ONE: Self = 1.0;
        }

        impl Scalar for $type {
            const LARGEST: Self = <$type>::NAN;
            const SMALLEST: Self = <$type>::NEG_INFINITY;

            #[inline(always)]
            fn wrapping_mul_bits(self, other: Self, _: u32) -> Self {
                self * other
            }

            #[inline(always)]
            fn wrapping_add_bits(self, other: Self, _: u32) -> Self {
                self + other
            }

            #[inline(always)]
            fn total_gt(self, other: Self) -> bool {
                self.total_cmp(&other).is_gt()
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }
        }
    };
}

float!(f64);
float!(f32);

macro_rules! integer {
    ($type:ty) => {
        impl Element for $type {
            const ONE: Self = 1;
        }

        impl Scalar for $type {
            const LARGEST: Self = <$type>::MAX;
            const SMALLEST: Self = <$type>::MIN;

            #[inline(always)]
            fn wrapping_mul_bits(self, other: Self, wrap_bits: u32) -> Self {
                let unused = <$type>::BITS - wrap_bits;
                self.wrapping_mul(other) << unused >> unused
            }

            #[inline(always)]
            fn wrapping_add_bits(self, other: Self, wrap_bits: u32) -> Self {
                let unused = <$type>::BITS - wrap_bits;
                self.wrapping_add(other) << unused >> unused
            }

            #[inline(always)]
            fn total_gt(self, other: Self) -> bool {
                self > other
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
        }
    };
}

integer!(i64);
integer!(u64);
integer!(i128);

impl Element for bool {
    const ONE: Self = true;
}

impl<T: Scalar> Widen<T> for T {
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

/// SQL's cast of integers to DOUBLE, which rounds to nearest.
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

impl Widen<bool> for bool {
    #[inline(always)]
    fn widen(self) -> bool {
        self
    }
}
