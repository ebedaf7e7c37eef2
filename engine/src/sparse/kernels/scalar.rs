//! [`Number`]: what is multiplied and added up.

/// What the values of matrices are.
pub(crate) trait Value: Copy + Default + Send + Sync + 'static {
    /// What a matrix without values has at each entry.
    const ONE: Self;
}

/// A value that is counted with.
pub(crate) trait Number: Value + PartialOrd {
    /// Where a smallest one starts: DataFusion does not start at infinity, and MIN of infinities is this.
    const HIGHEST: Self;
    /// Where a largest one starts.
    const LOWEST: Self;
    /// Wraps around at `bits` bits where there are such.
    fn times(self, other: Self, bits: u32) -> Self;
    /// Wraps around at `bits` bits where there are such.
    fn plus(self, other: Self, bits: u32) -> Self;
    /// By the order of all values, in which NaN is above everything and -0 below 0.
    fn is_above(self, other: Self) -> bool;
}

/// A number that can be divided without fail, which whole numbers cannot.
pub(crate) trait Float: Number {
    fn over(self, other: Self) -> Self;
}

/// What a sum of numbers is kept in.
pub(crate) trait Widen<S> {
    fn widen(self) -> S;
}

macro_rules! float {
    ($type:ty) => {
        impl Float for $type {
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
        }

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

impl Widen<bool> for bool {
    #[inline(always)]
    fn widen(self) -> bool {
        self
    }
}
