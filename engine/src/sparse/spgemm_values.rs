//! [`Factors`]: the values of one [`Product`] beside the structures of its matrices, whatever their types.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::error::Result;

use super::kernels::{
    Csr, Dense, Full, Hashed, Order, Places, Semiring, Sums, Values, add_row, multiply_full_row, multiply_row,
};
use super::semiring_dispatch::{Column, Product, Visitor};

/// Reads a column of values from batches, in their order.
pub(super) fn read<T: Column>(column: &[ArrayRef]) -> Result<Values<T>> {
    let rows = column.iter().map(|array| array.len()).sum();
    let mut numbers = Vec::with_capacity(rows);
    for array in column {
        T::read(array, &mut numbers)?;
    }
    let valid = column
        .iter()
        .any(|array| array.null_count() > 0)
        .then(|| column.iter().flat_map(|array| (0..array.len()).map(|row| array.is_valid(row))).collect());
    Ok(Values { numbers: Some(numbers), valid })
}

/// [`read`], in the order of a structure; ones when there is no column.
pub(super) fn read_in_order<T: Column>(column: Option<Vec<ArrayRef>>, order: &Order) -> Result<Values<T>> {
    let Some(column) = column else {
        return Ok(Values { numbers: None, valid: None });
    };
    let values = read::<T>(&column)?;
    drop(column);
    Ok(Values {
        numbers: values.numbers.map(|numbers| order.apply(&numbers)),
        valid: values.valid.map(|valid| order.apply(&valid)),
    })
}

pub(super) fn write<S: Column>(sums: Sums<S>, product: &Product) -> Result<ArrayRef> {
    let nulls = (!sums.valid.is_empty()).then(|| NullBuffer::from(sums.valid)).filter(|nulls| nulls.null_count() > 0);
    S::write(sums.sums, nulls, &product.output_type)
}

/// Both factors of a product of two matrices.
pub(super) trait Factors: Send + Sync {
    /// A sum for each place of blocks of about so many places.
    fn block(self: Arc<Self>, places: usize) -> Box<dyn Block>;

    /// Has the value of an entry of the right matrix on its way.
    fn prefetch(&self, entry: usize);

    /// Whether any value is NULL.
    fn has_nulls(&self) -> bool;

    /// Bytes of the values.
    fn held_bytes(&self) -> usize;
}

/// The matrices that a row of a product is made of, and which.
pub(super) struct Row<'a> {
    pub(super) left: &'a Csr,
    pub(super) right: &'a Csr,
    pub(super) row: usize,
}

/// The sums of some rows of a product.
pub(super) trait Block: Send {
    /// Multiplies a row; its columns are found and appended.
    fn multiply(&mut self, row: &Row<'_>, places: &mut AnyPlaces, columns: &mut Vec<u32>);

    /// Multiplies a row whose columns are known, `columns` of them.
    fn add(&mut self, row: &Row<'_>, places: &AnyPlaces, columns: usize);

    /// Multiplies a row that has most of its columns, of matrices without NULLs; the columns are appended where they are
    /// wanted.
    fn multiply_full(&mut self, row: &Row<'_>, width: usize, columns: Option<&mut Vec<u32>>);

    /// The sums since the last time.
    fn take(&mut self) -> Result<ArrayRef>;

    /// Bytes that it holds now.
    fn bytes(&self) -> usize;
}

/// The one of the two that suits the row.
pub(super) enum AnyPlaces {
    Dense(Dense),
    Hashed(Hashed),
}

impl AnyPlaces {
    /// [`Places::begin`]
    pub(super) fn begin(&mut self, columns: usize) {
        match self {
            Self::Dense(places) => places.begin(columns),
            Self::Hashed(places) => places.begin(columns),
        }
    }
}

struct Typed<R: Semiring> {
    ring: R,
    product: Product,
    left: Values<R::Value>,
    right: Values<R::Value>,
}

struct TypedBlock<R: Semiring> {
    factors: Arc<Typed<R>>,
    sums: Sums<R::Sum>,
    full: Full<R::Sum>,
    places: usize,
}

/// The factors of a product, each given with the order of its matrix.
pub(super) fn factors(
    product: &Product,
    left: (Option<Vec<ArrayRef>>, &Order),
    right: (Option<Vec<ArrayRef>>, &Order),
) -> Result<Arc<dyn Factors>> {
    struct Make<'a> {
        product: &'a Product,
        left: (Option<Vec<ArrayRef>>, &'a Order),
        right: (Option<Vec<ArrayRef>>, &'a Order),
    }
    impl Visitor for Make<'_> {
        type Output = Result<Arc<dyn Factors>>;

        fn visit<R: Semiring>(self, ring: R) -> Self::Output
        where
            R::Value: Column,
            R::Sum: Column,
        {
            let (left, right) =
                rayon::join(|| read_in_order(self.left.0, self.left.1), || read_in_order(self.right.0, self.right.1));
            Ok(Arc::new(Typed { ring, product: self.product.clone(), left: left?, right: right? }))
        }
    }
    product.visit(Make { product, left, right })?
}

impl<R: Semiring> Factors for Typed<R>
where
    R::Value: Column,
    R::Sum: Column,
{
    fn block(self: Arc<Self>, places: usize) -> Box<dyn Block> {
        Box::new(TypedBlock { factors: self, sums: Sums::with_capacity(places), full: Full::default(), places })
    }

    fn prefetch(&self, entry: usize) {
        self.right.prefetch(entry);
    }

    fn has_nulls(&self) -> bool {
        self.left.valid.is_some() || self.right.valid.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.left.bytes() + self.right.bytes()
    }
}

impl<R: Semiring> Block for TypedBlock<R>
where
    R::Value: Column,
    R::Sum: Column,
{
    fn multiply(&mut self, row: &Row<'_>, places: &mut AnyPlaces, columns: &mut Vec<u32>) {
        let Typed { ring, left, right, .. } = self.factors.as_ref();
        let (left, right) = ((row.left, left), (row.right, right));
        match places {
            AnyPlaces::Dense(places) => multiply_row(*ring, left, right, row.row, places, columns, &mut self.sums),
            AnyPlaces::Hashed(places) => multiply_row(*ring, left, right, row.row, places, columns, &mut self.sums),
        }
    }

    fn add(&mut self, row: &Row<'_>, places: &AnyPlaces, columns: usize) {
        let Typed { ring, left, right, .. } = self.factors.as_ref();
        let start = self.sums.sums.len();
        self.sums.extend(columns, R::ZERO, left.valid.is_some() || right.valid.is_some());
        let (left, right) = ((row.left, left), (row.right, right));
        match places {
            AnyPlaces::Dense(places) => add_row(*ring, left, right, row.row, places, start, &mut self.sums),
            AnyPlaces::Hashed(places) => add_row(*ring, left, right, row.row, places, start, &mut self.sums),
        }
    }

    fn multiply_full(&mut self, row: &Row<'_>, width: usize, columns: Option<&mut Vec<u32>>) {
        let Typed { ring, left, right, .. } = self.factors.as_ref();
        let (left, right) = ((row.left, left), (row.right, right));
        let at = (row.row, width);
        multiply_full_row(*ring, left, right, at, &mut self.full, columns, &mut self.sums);
    }

    fn take(&mut self) -> Result<ArrayRef> {
        let sums = std::mem::replace(&mut self.sums, Sums::with_capacity(self.places));
        write(sums, &self.factors.product)
    }

    fn bytes(&self) -> usize {
        self.full.bytes() + self.sums.sums.capacity() * size_of::<R::Sum>()
    }
}
