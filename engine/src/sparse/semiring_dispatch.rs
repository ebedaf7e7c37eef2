//! [`Product`]: one aggregate of a sparse product, and the kernels for its types.

use std::fmt;
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
    Add, AllTrue, And, AnyTrue, Float, Greatest, Least, Max, Min, Number, Or, Over, Plus, Ring, Semiring, Sum, Times,
    Value, Widen,
};

/// What the products of a group are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) enum Adding {
    Sum,
    Min,
    Max,
    BoolOr,
    BoolAnd,
}

/// What two values are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) enum Multiplying {
    Times,
    Plus,
    Over,
    Least,
    Greatest,
    And,
    Or,
}

/// One aggregate over the pairs that a join makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct Product {
    pub(crate) adding: Adding,
    pub(crate) multiplying: Multiplying,
    /// Which of the left table's values is a factor; one when there is none.
    pub(crate) left: Option<usize>,
    pub(crate) right: Option<usize>,
    /// What both factors and a product of them are.
    pub(crate) value_type: DataType,
    /// What the aggregate gives.
    pub(crate) output_type: DataType,
}

/// The semiring by its GraphBLAS name.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adding = match self.adding {
            Adding::Sum => "plus",
            Adding::Min => "min",
            Adding::Max => "max",
            Adding::BoolOr => "or",
            Adding::BoolAnd => "and",
        };
        let multiplying = match (self.left, self.right, self.multiplying) {
            (Some(_), None, _) => "first",
            (None, Some(_), _) => "second",
            (None, None, _) => "pair",
            (_, _, Multiplying::Times) => "times",
            (_, _, Multiplying::Plus) => "plus",
            (_, _, Multiplying::Over) => "div",
            (_, _, Multiplying::Least) => "min",
            (_, _, Multiplying::Greatest) => "max",
            (_, _, Multiplying::And) => "and",
            (_, _, Multiplying::Or) => "or",
        };
        write!(f, "{adding}_{multiplying}")
    }
}

/// What is done with the ring of a [`Product`].
pub(super) trait Visitor {
    type Output;

    fn visit<R: Semiring>(self, ring: R) -> Self::Output
    where
        R::Value: Column,
        R::Sum: Column;
}

impl Product {
    /// The number of pairs.
    pub(crate) fn pairs() -> Self {
        Self {
            adding: Adding::Sum,
            multiplying: Multiplying::Times,
            left: None,
            right: None,
            value_type: DataType::Int64,
            output_type: DataType::Int64,
        }
    }

    /// Whether there are kernels for it.
    pub(crate) fn is_supported(&self) -> bool {
        struct Nothing;
        impl Visitor for Nothing {
            type Output = ();

            fn visit<R: Semiring>(self, _: R)
            where
                R::Value: Column,
                R::Sum: Column,
            {
            }
        }
        self.visit(Nothing).is_ok()
    }

    /// Bytes of a value in a kernel, at most.
    pub(super) fn width(&self) -> usize {
        if self.value_type.is_decimal() { size_of::<i128>() } else { size_of::<u64>() }
    }

    /// Has the visitor see the ring of these types.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn visit<V: Visitor>(&self, visitor: V) -> Result<V::Output> {
        use DataType::{
            Boolean, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
        };
        let bits = self.value_type.primitive_width().map_or(64, |bytes| bytes as u32 * 8);
        match (self.adding, &self.value_type, &self.output_type) {
            (Adding::Sum, Float64, Float64) => self.float::<f64, f64, Sum, V>(visitor),
            (Adding::Min, Float64, Float64) => self.float::<f64, f64, Min, V>(visitor),
            (Adding::Max, Float64, Float64) => self.float::<f64, f64, Max, V>(visitor),
            (Adding::Sum, Float32, Float64) => self.float::<f32, f64, Sum, V>(visitor),
            (Adding::Min, Float32, Float32) => self.float::<f32, f32, Min, V>(visitor),
            (Adding::Max, Float32, Float32) => self.float::<f32, f32, Max, V>(visitor),
            (Adding::Sum, Int8 | Int16 | Int32 | Int64, Int64) => self.number::<i64, i64, Sum, V>(bits, visitor),
            (Adding::Sum, Int8 | Int16 | Int32 | Int64, Float64) => self.number::<i64, f64, Sum, V>(bits, visitor),
            (Adding::Min, Int8 | Int16 | Int32 | Int64, to) if *to == self.value_type => {
                self.number::<i64, i64, Min, V>(bits, visitor)
            }
            (Adding::Max, Int8 | Int16 | Int32 | Int64, to) if *to == self.value_type => {
                self.number::<i64, i64, Max, V>(bits, visitor)
            }
            (Adding::Sum, UInt8 | UInt16 | UInt32 | UInt64, UInt64) => self.number::<u64, u64, Sum, V>(bits, visitor),
            (Adding::Sum, UInt8 | UInt16 | UInt32 | UInt64, Float64) => self.number::<u64, f64, Sum, V>(bits, visitor),
            (Adding::Min, UInt8 | UInt16 | UInt32 | UInt64, to) if *to == self.value_type => {
                self.number::<u64, u64, Min, V>(bits, visitor)
            }
            (Adding::Max, UInt8 | UInt16 | UInt32 | UInt64, to) if *to == self.value_type => {
                self.number::<u64, u64, Max, V>(bits, visitor)
            }
            (Adding::Sum, Decimal128(_, scale), Decimal128(_, to)) if scale == to => match self.multiplying {
                Multiplying::Times => Ok(visitor.visit(Ring::<i128, i128, Times, Sum>::new(bits))),
                _ => self.none(),
            },
            (Adding::BoolOr, Boolean, Boolean) => self.truth::<AnyTrue, V>(visitor),
            (Adding::BoolAnd, Boolean, Boolean) => self.truth::<AllTrue, V>(visitor),
            _ => self.none(),
        }
    }

    fn float<T, S, A, V>(&self, visitor: V) -> Result<V::Output>
    where
        T: Float + Column + Widen<S>,
        S: Column,
        A: Add<S>,
        V: Visitor,
    {
        match self.multiplying {
            Multiplying::Over => Ok(visitor.visit(Ring::<T, S, Over, A>::new(0))),
            _ => self.number::<T, S, A, V>(0, visitor),
        }
    }

    fn number<T, S, A, V>(&self, bits: u32, visitor: V) -> Result<V::Output>
    where
        T: Number + Column + Widen<S>,
        S: Column,
        A: Add<S>,
        V: Visitor,
    {
        match self.multiplying {
            Multiplying::Times => Ok(visitor.visit(Ring::<T, S, Times, A>::new(bits))),
            Multiplying::Plus => Ok(visitor.visit(Ring::<T, S, Plus, A>::new(bits))),
            Multiplying::Least => Ok(visitor.visit(Ring::<T, S, Least, A>::new(bits))),
            Multiplying::Greatest => Ok(visitor.visit(Ring::<T, S, Greatest, A>::new(bits))),
            Multiplying::Over | Multiplying::And | Multiplying::Or => self.none(),
        }
    }

    fn truth<A: Add<bool>, V: Visitor>(&self, visitor: V) -> Result<V::Output> {
        match self.multiplying {
            Multiplying::And => Ok(visitor.visit(Ring::<bool, bool, And, A>::new(0))),
            Multiplying::Or => Ok(visitor.visit(Ring::<bool, bool, Or, A>::new(0))),
            _ => self.none(),
        }
    }

    fn none<T>(&self) -> Result<T> {
        internal_err!("no kernel multiplies {} by {self} into {}", self.value_type, self.output_type)
    }
}

/// Numbers that a kernel reads from Arrow and writes to it.
pub(super) trait Column: Value {
    /// Appends the values of an array of a [`Product::value_type`]. Those of NULLs are anything.
    fn read(array: &dyn Array, values: &mut Vec<Self>) -> Result<()>;

    /// An array of a [`Product::output_type`].
    fn write(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef>;
}

macro_rules! column {
    ($native:ty, $wide:expr, $arrow:ty, $array:ty) => {
        impl Column for $native {
            fn read(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
                // Widening keeps each value as it is.
                values.extend_from_slice(cast(array, &$wide)?.as_primitive::<$arrow>().values());
                Ok(())
            }

            fn write(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
                Ok(cast(&<$array>::new(values.into(), nulls), data_type)?)
            }
        }
    };
}

column!(f64, DataType::Float64, Float64Type, Float64Array);
column!(f32, DataType::Float32, Float32Type, Float32Array);
column!(i64, DataType::Int64, Int64Type, Int64Array);
column!(u64, DataType::UInt64, UInt64Type, UInt64Array);

impl Column for i128 {
    fn read(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
        values.extend_from_slice(array.as_primitive::<Decimal128Type>().values());
        Ok(())
    }

    fn write(values: Vec<Self>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(Decimal128Array::new(values.into(), nulls).with_data_type(data_type.clone())))
    }
}

impl Column for bool {
    fn read(array: &dyn Array, values: &mut Vec<Self>) -> Result<()> {
        values.extend(array.as_boolean().values().iter());
        Ok(())
    }

    fn write(values: Vec<Self>, nulls: Option<NullBuffer>, _: &DataType) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(values.into(), nulls)))
    }
}
