//! `hamming_distance(a, b)`: the number of bits in which two hashes differ.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, UInt64Array};
use datafusion::arrow::compute::kernels::arity::binary;
use datafusion::arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const NAME: &str = "hamming_distance";

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let types = vec![DataType::UInt64, DataType::UInt64];
        Arc::new(HammingDistance { signature: Signature::exact(types, Volatility::Immutable) }.into())
    });
    Arc::clone(&UDF)
}

#[derive(Debug)]
struct HammingDistance {
    signature: Signature,
}

impl ScalarUDFImpl for HammingDistance {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [a, b] = arrays.as_slice() else {
            return internal_err!("{NAME} was planned with {} arguments", arrays.len());
        };
        let count_differing_bits = |a: u64, b: u64| u64::from((a ^ b).count_ones());
        let distances: UInt64Array =
            binary(a.as_primitive::<UInt64Type>(), b.as_primitive::<UInt64Type>(), count_differing_bits)?;
        Ok(ColumnarValue::Array(Arc::new(distances)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            let section = DocSection { label: "Images", ..Default::default() };
            let description = "The number of bits in which two 64-bit hashes differ: 0 for equal hashes, about 32 for unrelated \
                               images. A distance of `image_hash` values of up to 10 usually means the same image.";
            Documentation::builder(section, description, "hamming_distance(a, b)")
                .with_argument("a", "A hash, UInt64")
                .with_argument("b", "Another hash, UInt64")
                .with_sql_example(
                    "SELECT hamming_distance(image_hash(image), image_hash(image_resize(image, width => 50))) \
                     FROM 'examples/data/photos.parquet'",
                )
                .build()
        });
        Some(&DOCUMENTATION)
    }
}

impl PartialEq for HammingDistance {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for HammingDistance {}

impl Hash for HammingDistance {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}
