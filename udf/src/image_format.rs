//! `image_format(image)`: the file format of an encoded image.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::function::{check_image, map_images, one_image};
use crate::image::probe;

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ImageFormat { signature: one_image() }.into()));
    Arc::clone(&UDF)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ImageFormat {
    signature: Signature,
}

impl ScalarUDFImpl for ImageFormat {
    fn name(&self) -> &str {
        "image_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        check_image(self.name(), arg_types)?;
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        map_images::<_, StringArray>(self.name(), args, |bytes| Ok(probe(bytes).ok().map(|header| header.format)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DocSection { label: "Images", ..Default::default() },
                "The file format of an encoded image: 'jpeg', 'png', 'webp', 'gif', 'bmp' or 'tiff'. NULL when the bytes are no image \
                 that can be read, which makes it the filter for such rows.",
                "image_format(image)",
            )
            .with_argument("image", "An encoded image: Binary, LargeBinary or BinaryView")
            .with_sql_example("SELECT uri FROM 'examples/data/mixed.parquet' WHERE image_format(image) IS NULL")
            .build()
        });
        Some(&DOCUMENTATION)
    }
}
