//! [`HivePartitions`]: columns from folder names `key=value`, as Hive lays out partitioned tables.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::scalar::ScalarValue;
use object_store::ObjectMeta;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

/// The partition columns of a table, and their values for each file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HivePartitions {
    pub(super) columns: Vec<FieldRef>,
    /// For each file one value per column.
    pub(super) values: Vec<Vec<ScalarValue>>,
}

/// Files whose folders have different keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MixedKeys(pub(super) Vec<String>, pub(super) Vec<String>);

impl HivePartitions {
    /// No columns, for a number of files.
    pub(super) fn none(files: usize) -> Self {
        Self { columns: Vec::new(), values: vec![Vec::new(); files] }
    }

    /// Reads the columns from the paths of the files. The first `skipped` segments are not part of the table. Keys that are columns of the
    /// files as well are omitted.
    ///
    /// # Errors
    /// [`MixedKeys`] if two files have different keys.
    pub(super) fn parse(files: &[ObjectMeta], skipped: usize, file_schema: &Schema) -> Result<Result<Self, MixedKeys>> {
        let pairs: Vec<_> = files.iter().map(|file| key_values(&file.location, skipped)).collect();
        let keys = |pairs: &[(String, String)]| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let Some(first) = pairs.first().map(|pairs| keys(pairs)) else { return Ok(Ok(Self::default())) };
        if let Some(other) = pairs.iter().map(|pairs| keys(pairs)).find(|keys| *keys != first) {
            return Ok(Err(MixedKeys(first, other)));
        }
        let data_type = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        let is_column = |index: usize| {
            let key = &first[index];
            file_schema.column_with_name(key).is_none() && !first[..index].contains(key)
        };
        let kept: Vec<usize> = (0..first.len()).filter(|index| is_column(*index)).collect();
        let columns = kept.iter().map(|index| Field::new(&first[*index], data_type.clone(), true).into()).collect();
        let value = |text: &String| match text.as_str() {
            NULL_VALUE => ScalarValue::try_from(&data_type),
            text => ScalarValue::try_from_string(text.to_owned(), &data_type),
        };
        let values = pairs.iter().map(|pairs| kept.iter().map(|index| value(&pairs[*index].1)).collect());
        Ok(Ok(Self { columns, values: values.collect::<Result<_>>()? }))
    }
}

/// The name that Hive gives to NULL.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The pairs in the folder names of a path. Values are percent-decoded, as Hive encodes them.
fn key_values(path: &Path, skipped: usize) -> Vec<(String, String)> {
    let segments: Vec<_> = path.parts().collect();
    let folders = segments.iter().take(segments.len().saturating_sub(1)).skip(skipped);
    let pair = |folder: &str| {
        let (key, value) = folder.split_once('=')?;
        let value =
            percent_decode_str(value).decode_utf8().map_or_else(|_| value.to_owned(), |value| value.into_owned());
        Some((key.to_owned(), value)).filter(|_| !key.is_empty())
    };
    folders.filter_map(|folder| pair(folder.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str], skipped: usize) -> std::result::Result<Vec<(String, Vec<String>)>, MixedKeys> {
        let files: Vec<ObjectMeta> = paths
            .iter()
            .map(|path| ObjectMeta {
                location: Path::parse(path).unwrap(),
                last_modified: Default::default(),
                size: 1,
                e_tag: None,
                version: None,
            })
            .collect();
        let schema = Schema::new(vec![Field::new("own", DataType::Int64, true)]);
        let partitions = HivePartitions::parse(&files, skipped, &schema).unwrap()?;
        let values = |index: usize| partitions.values.iter().map(|values| values[index].to_string()).collect();
        Ok(partitions.columns.iter().enumerate().map(|(index, field)| (field.name().clone(), values(index))).collect())
    }

    #[test]
    fn keys_are_columns_if_all_files_have_them() {
        let expected = vec![("x".to_owned(), vec!["1".to_owned(), "a b".to_owned()])];
        assert_eq!(parse(&["t/x=1/a.csv", "t/x=a%20b/sub/b.csv"], 0), Ok(expected));
        let null = parse(&["t/x=__HIVE_DEFAULT_PARTITION__/a.csv"], 0).unwrap();
        assert!(null[0].1[0].contains("NULL"), "{null:?}");
        assert_eq!(parse(&["t/own=1/a.csv"], 0), Ok(vec![]));
        assert_eq!(parse(&["d=1/t/a.csv"], 1), Ok(vec![]));
        assert_eq!(parse(&["t/a=b.csv", "t/=1/b.csv"], 0), Ok(vec![]));
        assert_eq!(parse(&["t/x=1/x=2/a.csv"], 0), Ok(vec![("x".to_owned(), vec!["1".to_owned()])]));
        assert_eq!(parse(&[], 0), Ok(vec![]));
    }

    #[test]
    fn different_keys_are_reported() {
        assert_eq!(
            parse(&["t/x=1/a.csv", "t/x=1/z=2/a.csv"], 0),
            Err(MixedKeys(vec!["x".to_owned()], vec!["x".to_owned(), "z".to_owned()]))
        );
        assert_eq!(parse(&["t/a.csv", "t/x=1/a.csv"], 0), Err(MixedKeys(vec![], vec!["x".to_owned()])));
    }
}
