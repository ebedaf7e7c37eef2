//! [`SemiringVisitor`]: from the types of a [`SemiringAggregate`] to the kernels that are monomorphised for them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, UInt64Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::kernels::{
    DivOp, Element, Float, LAndMonoid, LAndOp, LOrMonoid, LOrOp, MaxMonoid, MaxOp, MinMonoid, MinOp, MonoidKernel,
    PlusMonoid, PlusOp, Scalar, SemiringOps, TimesOp, TypedSemiring, Widen,
};
use super::semiring::{BinaryOp, Monoid};
use super::spec::SemiringAggregate;

/// Called with the typed semiring of a [`SemiringAggregate`].
pub(super) trait SemiringVisitor {
    type Output;

    fn visit<S: SemiringOps>(self, semiring: S) -> Self::Output
    where
        S::Value: ArrowScalar,
        S::Accumulator: ArrowScalar;
}

impl SemiringAggregate {
    /// Whether there are kernels for its types and operations.
    pub(crate) fn is_supported(&self) -> bool {
        struct Ignore;
        impl SemiringVisitor for Ignore {
            type Output = ();

            fn visit<S: SemiringOps>(self, _: S)
            where
                S::Value: ArrowScalar,
                S::Accumulator: ArrowScalar,
            {
            }
        }
        self.visit(Ignore).is_ok()
    }

    /// An upper bound on the bytes of a value in a kernel.
    pub(super) fn value_size(&self) -> usize {
        if self.value_type.is_decimal() { size_of::<i128>() } else { size_of::<u64>() }
    }

    /// Calls the visitor with the semiring of these types.
    ///
    /// # Errors
    /// When no kernel supports them.
    pub(super) fn visit<V: SemiringVisitor>(&self, visitor: V) -> Result<V::Output> {
        use DataType::{
            Boolean, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
        };
        let bits = self.value_type.primitive_width().map_or(64, |bytes| bytes as u32 * 8);
        match (self.add, &self.value_type, &self.output_type) {
            (Monoid::Plus, Float64, Float64) => self.visit_float::<f64, f64, PlusMonoid, V>(visitor),
            (Monoid::Min, Float64, Float64) => self.visit_float::<f64, f64, MinMonoid, V>(visitor),
            (Monoid::Max, Float64, Float64) => self.visit_float::<f64, f64, MaxMonoid, V>(visitor),
            (Monoid::Plus, Float32, Float64) => self.visit_float::<f32, f64, PlusMonoid, V>(visitor),
            (Monoid::Min, Float32, Float32) => self.visit_float::<f32, f32, MinMonoid, V>(visitor),
            (Monoid::Max, Float32, Float32) => self.visit_float::<f32, f32, MaxMonoid, V>(visitor),
            (Monoid::Plus, Int8 | Int16 | Int32 | Int64, Int64) => {
                self.visit_scalar::<i64, i64, PlusMonoid, V>(bits, visitor)
            }
            (Monoid::Plus, Int8 | Int16 | Int32 | Int64, Float64) => {
                self.visit_scalar::<i64, f64, PlusMonoid, V>(bits, visitor)
            }
            (Monoid::Min, Int8 | Int16 | Int32 | Int64, to) if *to == self.value_type => {
                self.visit_scalar::<i64, i64, MinMonoid, V>(bits, visitor)
            }
            (Monoid::Max, Int8 | Int16 | Int32 | Int64, to) if *to == self.value_type => {
                self.visit_scalar::<i64, i64, MaxMonoid, V>(bits, visitor)
            }
            (Monoid::Plus, UInt8 | UInt16 | UInt32 | UInt64, UInt64) => {
                self.visit_scalar::<u64, u64, PlusMonoid, V>(bits, visitor)
            }
            (Monoid::Plus, UInt8 | UInt16 | UInt32 | UInt64, Float64) => {
                self.visit_scalar::<u64, f64, PlusMonoid, V>(bits, visitor)
            }
            (Monoid::Min, UInt8 | UInt16 | UInt32 | UInt64, to) if *to == self.value_type => {
                self.visit_scalar::<u64, u64, MinMonoid, V>(bits, visitor)
            }
            (Monoid::Max, UInt8 | UInt16 | UInt32 | UInt64, to) if *to == self.value_type => {
                self.visit_scalar::<u64, u64, MaxMonoid, V>(bits, visitor)
            }
            (Monoid::Plus, Decimal128(_, scale), Decimal128(_, to)) if scale == to => match self.multiply {
                BinaryOp::Times => Ok(visitor.visit(TypedSemiring::<i128, i128, TimesOp, PlusMonoid>::new(bits))),
                _ => self.no_kernel(),
            },
            (Monoid::LOr, Boolean, Boolean) => self.visit_boolean::<LOrMonoid, V>(visitor),
            (Monoid::LAnd, Boolean, Boolean) => self.visit_boolean::<LAndMonoid, V>(visitor),
            _ => self.no_kernel(),
        }
    }

    fn visit_float<T, A, M, V>(&self, visitor: V) -> Result<V::Output>
    where
        T: Float + ArrowScalar + Widen<A>,
        A: ArrowScalar,
        M: MonoidKernel<A>,
        V: SemiringVisitor,
    {
        match self.multiply {
            BinaryOp::Div => Ok(visitor.visit(TypedSemiring::<T, A, DivOp, M>::new(0))),
            _ => self.visit_scalar::<T, A, M, V>(0, visitor),
        }
    }

    fn visit_scalar<T, A, M, V>(&self, wrap_bits: u32, visitor: V) -> Result<V::Output>
    where
        T: Scalar + ArrowScalar + Widen<A>,
        A: ArrowScalar,
        M: MonoidKernel<A>,
        V: SemiringVisitor,
    {
        match self.multiply {
            BinaryOp::Times => Ok(visitor.visit(TypedSemiring::<T, A, TimesOp, M>::new(wrap_bits))),
            BinaryOp::Plus => Ok(visitor.visit(TypedSemiring::<T, A, PlusOp, M>::new(wrap_bits))),
            BinaryOp::Min => Ok(visitor.visit(TypedSemiring::<T, A, MinOp, M>::new(wrap_bits))),
            BinaryOp::Max => Ok(visitor.visit(TypedSemiring::<T, A, MaxOp, M>::new(wrap_bits))),
            BinaryOp::Div | BinaryOp::First | BinaryOp::Second | BinaryOp::Pair | BinaryOp::LAnd | BinaryOp::LOr => {
                self.no_kernel()
            }
        }
    }

    fn visit_boolean<M: MonoidKernel<bool>, V: SemiringVisitor>(&self, visitor: V) -> Result<V::Output> {
        match self.multiply {
            BinaryOp::LAnd => Ok(visitor.visit(TypedSemiring::<bool, bool, LAndOp, M>::new(0))),
            BinaryOp::LOr => Ok(visitor.visit(TypedSemiring::<bool, bool, LOrOp, M>::new(0))),
            _ => self.no_kernel(),
        }
    }

    fn no_kernel<T>(&self) -> Result<T> {
        internal_err!("no kernel for {self} from {} into {}", self.value_type, self.output_type)
    }
}

/// An element type of the kernels, converted from and to Arrow arrays.
pub(super) trait ArrowScalar: Element {
    /// Appends the values of an array of a [`SemiringAggregate::value_type`]. The value of a NULL is unspecified.
    fn append_from_array(array: &dyn Array, values: &mut Vec<Self>) -> Result<()>;

    /// Builds an array of a [`SemiringAggregate::output_type`].
    fn build_array(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef>;
}

macro_rules! arrow_scalar {
    ($native:ty, $wide:expr, $arrow:ty, $array:ty) => {
        impl ArrowScalar for $native {
            fn append_from_array(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
                // Widening is lossless.
                values.extend_from_slice(cast(array, &$wide)?.as_primitive::<$arrow>().values());
                Ok(())
            }

            fn build_array(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
                Ok(cast(&<$array>::new(values.into(), nulls), data_type)?)
            }
        }
    };
}

arrow_scalar!(f64, DataType::Float64, Float64Type, Float64Array);
arrow_scalar!(f32, DataType::Float32, Float32Type, Float32Array);
arrow_scalar!(i64, DataType::Int64, Int64Type, Int64Array);
arrow_scalar!(u64, DataType::UInt64, UInt64Type, UInt64Array);

impl ArrowScalar for i128 {
    fn append_from_array(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
        values.extend_from_slice(array.as_primitive::<Decimal128Type>().values());
        Ok(())
    }

    fn build_array(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(data_type.clone())))
    }
}

impl ArrowScalar for bool {
    fn append_from_array(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
        values.extend(array.as_boolean().values().iter());
        Ok(())
    }

    fn build_array(values: Vec<Self>, nulls: Option<NullBuffer>, _: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(values.into(), nulls)))
    }
}
