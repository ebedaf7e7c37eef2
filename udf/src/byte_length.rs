//! [`byte_length_functions`]: `length` and `octet_length` of binary values; DataFusion's take strings only.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions::string::octet_length;
use datafusion::functions::unicode::character_length;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    TypeSignatureClass, Volatility,
};
use datafusion::scalar::ScalarValue;

/// DataFusion's functions of the same names, which count the bytes of a binary value in addition to strings.
pub fn byte_length_functions() -> Vec<Arc<ScalarUDF>> {
    static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 2]> = LazyLock::new(|| {
        // `length` and `char_length` are aliases.
        [octet_length(), character_length()].map(|of_strings| Arc::new(ByteLength::new(of_strings).into()))
    });
    FUNCTIONS.to_vec()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByteLength {
    of_strings: Arc<ScalarUDF>,
    signature: Signature,
}

impl ByteLength {
    fn new(of_strings: Arc<ScalarUDF>) -> Self {
        // Binary first: `character_length` casts any type to a string.
        let binary = TypeSignature::Coercible(vec![Coercion::new_exact(TypeSignatureClass::Binary)]);
        let signatures = vec![binary, of_strings.signature().type_signature.clone()];
        Self { signature: Signature::one_of(signatures, Volatility::Immutable), of_strings }
    }
}

impl ScalarUDFImpl for ByteLength {
    fn name(&self) -> &str {
        self.of_strings.name()
    }

    fn aliases(&self) -> &[String] {
        self.of_strings.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::LargeBinary] => Ok(DataType::Int64),
            [DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) | DataType::Null] => {
                Ok(DataType::Int32)
            }
            _ => self.of_strings.return_type(arg_types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return internal_err!("{} was planned with {} arguments", self.name(), args.args.len());
        };
        match value.data_type() {
            DataType::Null => return Ok(ColumnarValue::Scalar(ScalarValue::Int32(None))),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {}
            _ => return self.of_strings.invoke_with_args(args),
        }
        match value {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(length(values)?)),
            ColumnarValue::Scalar(value) => {
                let lengths = length(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of_strings.documentation()
    }
}
