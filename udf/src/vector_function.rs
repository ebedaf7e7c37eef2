//! [`VectorFunction`]: DataFusion's functions of two vectors under the names used in nearest-neighbour search.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type};
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_nested::cosine_distance::cosine_distance_udf;
use datafusion::functions_nested::distance::array_distance_udf;
use datafusion::functions_nested::inner_product::inner_product_udf;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Wraps a DataFusion function and returns `finalize` of its result, as `Float32`.
#[derive(Debug)]
struct VectorFunction {
    name: &'static str,
    inner: Arc<ScalarUDF>,
    finalize: fn(f32) -> f32,
    documentation: Documentation,
}

fn vector_function(
    name: &'static str,
    inner: Arc<ScalarUDF>,
    finalize: fn(f32) -> f32,
    description: &str,
) -> Arc<ScalarUDF> {
    let section = DocSection { label: "Vectors", ..Default::default() };
    let documentation = Documentation::builder(section, description, format!("{name}(a, b)"))
        .with_argument("a", "A vector: a list of numeric values, as returned by `embed`")
        .with_argument("b", "Another vector of the same length")
        .with_sql_example(format!("SELECT {name}(embed(image), embed(image)) FROM 'examples/data/photos.parquet'"))
        .build();
    Arc::new(VectorFunction { name, inner, finalize, documentation }.into())
}

/// `cosine_similarity(a, b)`
pub(crate) fn cosine_similarity() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let description = "The cosine of the angle between two vectors: 1 for the same direction, 0 for orthogonal vectors, -1 for \
                           opposite directions. Equals 1 minus DataFusion's `cosine_distance`.";
        vector_function("cosine_similarity", cosine_distance_udf(), |distance| 1.0 - distance, description)
    });
    Arc::clone(&UDF)
}

/// `dot(a, b)`
pub(crate) fn dot() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let description = "The inner product of two vectors; for vectors of length 1 it equals their \
                           `cosine_similarity`. DataFusion's `inner_product` as Float32.";
        vector_function("dot", inner_product_udf(), |product| product, description)
    });
    Arc::clone(&UDF)
}

/// `l2_distance(a, b)`
pub(crate) fn l2_distance() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let description = "The Euclidean distance of two vectors. DataFusion's `array_distance` as Float32.";
        vector_function("l2_distance", array_distance_udf(), |distance| distance, description)
    });
    Arc::clone(&UDF)
}

impl VectorFunction {
    /// Replaces the name of the wrapped function in its error by the name of this one.
    fn rename_error(&self, error: &DataFusionError) -> DataFusionError {
        let message = error.message();
        let reason = message.strip_prefix(self.inner.name()).unwrap_or(&message).trim_start_matches(' ');
        exec_datafusion_err!("{}: {reason}", self.name)
    }
}

impl ScalarUDFImpl for VectorFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)?;
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let return_field = Arc::new(Field::new(self.inner.name(), self.inner.return_type(&types)?, true));
        let inner = self.inner.invoke_with_args(ScalarFunctionArgs { return_field, ..args });
        let inner = inner.map_err(|error| self.rename_error(&error))?.to_array(rows)?;
        let values = cast(&inner, &DataType::Float32)?;
        let values: ArrayRef = Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(self.finalize));
        Ok(ColumnarValue::Array(values))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Functions are equal if their names are.
impl PartialEq for VectorFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for VectorFunction {}

impl Hash for VectorFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
