//! `image_width(image)`: its width in pixels.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::function::{check_image, map_images, one_image};
use crate::image::probe;

pub(crate) fn udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ImageWidth { signature: one_image() }.into()));
    Arc::clone(&UDF)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ImageWidth {
    signature: Signature,
}

impl ScalarUDFImpl for ImageWidth {
    fn name(&self) -> &str {
        "image_width"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        check_image(self.name(), arg_types)?;
        Ok(DataType::UInt32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        map_images::<_, UInt32Array>(self.name(), args, |bytes| probe(bytes).map(|header| Some(header.width)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DocSection { label: "Images", ..Default::default() },
                "The width in pixels of an encoded image as it is displayed, that is after its EXIF orientation. Reads the header \
                 only. NULL for NULL, an error for bytes that are no image.",
                "image_width(image)",
            )
            .with_argument("image", "An encoded image: Binary, LargeBinary or BinaryView")
            .with_sql_example("SELECT uri, image_width(image) FROM 'examples/data/photos.parquet'")
            .build()
        });
        Some(&DOCUMENTATION)
    }
}
