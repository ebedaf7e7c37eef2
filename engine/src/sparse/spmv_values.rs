//! [`Still`]: the values of the matrix that a product with a vector keeps in memory, and the sums, whatever their types.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use super::kernels::{Csr, Moving, Order, Semiring, Sums, Targets, Values, add_sums, scatter};
use super::semiring_dispatch::{Column, Product, Visitor};
use super::spgemm_values::{read, read_in_order, write};

/// The factor that lies still, of a product with a vector.
pub(super) trait Still: Send + Sync {
    /// Sums that nothing was added to.
    fn target(self: Arc<Self>) -> Box<dyn Target>;

    /// Bytes of the values.
    fn held_bytes(&self) -> usize;
}

/// The sums of a product with a vector.
pub(super) trait Target: Send {
    /// Makes room for so many places.
    fn resize(&mut self, places: usize);

    /// Adds the products of a batch. Without values, each is one. `met` are the places to which something was added.
    fn scatter(
        &mut self,
        moving: (Moving, &[u32], Option<&ArrayRef>),
        still: &Csr,
        targets: Targets<'_>,
        met: &[bool],
    ) -> Result<()>;

    /// Adds sums that were taken before, each to its place; `met` are the places to which something was added.
    fn add(&mut self, sums: &ArrayRef, places: &[u32], met: &[bool]) -> Result<()>;

    /// The sums of these places.
    fn take(self: Box<Self>, places: &[u32]) -> Result<ArrayRef>;

    /// Bytes of a place.
    fn width(&self) -> usize;
}

struct TypedStill<R: Semiring> {
    ring: R,
    product: Product,
    values: Values<R::Value>,
}

struct TypedTarget<R: Semiring> {
    still: Arc<TypedStill<R>>,
    sums: Sums<R::Sum>,
}

/// The factor of a product that lies still.
pub(super) fn still(product: &Product, values: Option<Vec<ArrayRef>>, order: &Order) -> Result<Arc<dyn Still>> {
    struct Make<'a> {
        product: &'a Product,
        values: Option<Vec<ArrayRef>>,
        order: &'a Order,
    }
    impl Visitor for Make<'_> {
        type Output = Result<Arc<dyn Still>>;

        fn visit<R: Semiring>(self, ring: R) -> Self::Output
        where
            R::Value: Column,
            R::Sum: Column,
        {
            let values = read_in_order(self.values, self.order)?;
            Ok(Arc::new(TypedStill { ring, product: self.product.clone(), values }))
        }
    }
    product.visit(Make { product, values, order })?
}

impl<R: Semiring> Still for TypedStill<R>
where
    R::Value: Column,
    R::Sum: Column,
{
    fn target(self: Arc<Self>) -> Box<dyn Target> {
        Box::new(TypedTarget { still: self, sums: Sums::default() })
    }

    fn held_bytes(&self) -> usize {
        self.values.bytes()
    }
}

impl<R: Semiring> Target for TypedTarget<R>
where
    R::Value: Column,
    R::Sum: Column,
{
    fn resize(&mut self, places: usize) {
        self.sums.sums.resize(places, R::ZERO);
        if !self.sums.valid.is_empty() {
            self.sums.valid.resize(places, false);
        }
    }

    fn scatter(
        &mut self,
        (moving, rows, values): (Moving, &[u32], Option<&ArrayRef>),
        still: &Csr,
        targets: Targets<'_>,
        met: &[bool],
    ) -> Result<()> {
        let values = match values {
            Some(values) => read(std::slice::from_ref(values))?,
            None => Values { numbers: None, valid: None },
        };
        let TypedStill { ring, values: still_values, .. } = self.still.as_ref();
        let is_nullable = values.valid.is_some() || still_values.valid.is_some();
        if is_nullable && self.sums.valid.is_empty() {
            // Until now, whatever was added to was no NULL.
            self.sums.start_valid(met);
        }
        let still = (still, still_values);
        scatter(*ring, (moving, rows, &values), still, targets, &mut self.sums);
        Ok(())
    }

    fn add(&mut self, sums: &ArrayRef, places: &[u32], met: &[bool]) -> Result<()> {
        let sums: Values<R::Sum> = read(std::slice::from_ref(sums))?;
        if sums.valid.is_some() && self.sums.valid.is_empty() {
            self.sums.start_valid(met);
        }
        add_sums(self.still.ring, &sums, places, &mut self.sums);
        Ok(())
    }

    fn take(self: Box<Self>, places: &[u32]) -> Result<ArrayRef> {
        let sums = places.iter().map(|&place| self.sums.sums[place as usize]).collect();
        let valid = match self.sums.valid.is_empty() {
            true => Vec::new(),
            false => places.iter().map(|&place| self.sums.valid[place as usize]).collect(),
        };
        write(Sums { sums, valid }, &self.still.product)
    }

    fn width(&self) -> usize {
        size_of::<R::Sum>() + 1
    }
}
