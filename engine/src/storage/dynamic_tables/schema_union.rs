//! [`union_schema`]: the columns of several files as those of one table.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use object_store::path::Path;

use super::common_type::common_type;
use super::table_format::TableFormat;

/// The columns of one file.
#[derive(Debug)]
pub(super) struct FileSchema {
    pub(super) location: Path,
    pub(super) schema: SchemaRef,
}

impl FileSchema {
    fn name(&self) -> &str {
        self.location.filename().unwrap_or_default()
    }
}

/// A column of the table.
struct UnionColumn<'a> {
    field: Field,
    /// The file that has this type.
    file: &'a FileSchema,
    /// The number of files that have the column.
    files: usize,
}

/// The columns of all files by name, each of the type that all of its values have in common, as `union_by_name` of DuckDB. Those of CSV
/// files are read by position, so their order must be the same.
///
/// # Errors
/// When a column has no common type, or CSV files have different columns.
pub(super) fn union_schema(format: TableFormat, files: &[FileSchema]) -> Result<SchemaRef> {
    let Some(first) = files.first() else { return Ok(Arc::new(Schema::empty())) };
    if files.iter().all(|file| file.schema == first.schema) {
        return Ok(Arc::clone(&first.schema));
    }
    let mut columns: Vec<UnionColumn<'_>> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut metadata = first.schema.metadata().clone();
    for file in files {
        retain_common(&mut metadata, file.schema.metadata());
        for field in file.schema.fields() {
            match positions.get(field.name().as_str()) {
                Some(position) => columns[*position].add(format, field, file)?,
                None => {
                    positions.insert(field.name(), columns.len());
                    columns.push(UnionColumn { field: field.as_ref().clone(), file, files: 1 });
                }
            }
        }
    }
    let fields: Vec<Field> = columns
        .into_iter()
        .map(|column| {
            let is_nullable = column.field.is_nullable() || column.files < files.len();
            column.field.with_nullable(is_nullable)
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, metadata);
    if matches!(format, TableFormat::Csv { .. }) {
        check_positions(&schema, files)?;
    }
    Ok(Arc::new(schema))
}

impl<'a> UnionColumn<'a> {
    fn add(&mut self, format: TableFormat, field: &Field, file: &'a FileSchema) -> Result<()> {
        self.files += 1;
        if self.field == *field {
            return Ok(());
        }
        let (known, other) = (self.field.data_type(), field.data_type());
        let Some(data_type) = common_type(format, known, other) else {
            return plan_err!(
                "its files have different types in column '{}', {known} in '{}' and {other} in '{}', which have no common type; read them one \
                 by one, with SELECT … UNION ALL BY NAME SELECT … and CAST",
                field.name(),
                self.file.name(),
                file.name()
            );
        };
        if data_type == *other {
            self.file = file;
        }
        let mut metadata = self.field.metadata().clone();
        retain_common(&mut metadata, field.metadata());
        let is_nullable = self.field.is_nullable() || field.is_nullable();
        self.field = self.field.clone().with_data_type(data_type).with_nullable(is_nullable).with_metadata(metadata);
        Ok(())
    }
}

fn retain_common(metadata: &mut HashMap<String, String>, other: &HashMap<String, String>) {
    metadata.retain(|key, value| other.get(key) == Some(value));
}

fn check_positions(table: &Schema, files: &[FileSchema]) -> Result<()> {
    let all = column_names(table);
    for file in files {
        let own = column_names(&file.schema);
        if own != all {
            return plan_err!(
                "its files have different columns: '{}' has ({}), the files together ({}); read them one by one, with SELECT … UNION ALL BY \
                 NAME SELECT …",
                file.name(),
                own.join(", "),
                all.join(", ")
            );
        }
    }
    Ok(())
}

fn column_names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

/// For each file whose types are not those of the table, the table's columns with the types of the file: statistics have these types.
pub(super) fn own_schemas(table: &SchemaRef, files: Vec<FileSchema>) -> HashMap<Path, SchemaRef> {
    let own_schema = |file: FileSchema| {
        if file.schema == *table {
            return None;
        }
        let own: HashMap<&str, &Field> =
            file.schema.fields().iter().map(|field| (field.name().as_str(), field.as_ref())).collect();
        let mut is_different = false;
        let fields: Vec<Field> = table
            .fields()
            .iter()
            .map(|field| match own.get(field.name().as_str()) {
                Some(own) if own.data_type() != field.data_type() => {
                    is_different = true;
                    field.as_ref().clone().with_data_type(own.data_type().clone())
                }
                _ => field.as_ref().clone(),
            })
            .collect();
        is_different.then(|| (file.location, Arc::new(Schema::new_with_metadata(fields, table.metadata().clone()))))
    };
    files.into_iter().filter_map(own_schema).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType;
    use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

    use super::*;

    const CSV: TableFormat = TableFormat::Csv { delimiter: b',', compression: FileCompressionType::UNCOMPRESSED };

    fn file(name: &str, columns: &[(&str, DataType)]) -> FileSchema {
        let fields: Vec<Field> =
            columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), false)).collect();
        FileSchema { location: Path::from(name), schema: Arc::new(Schema::new(fields)) }
    }

    #[test]
    fn columns_are_joined_by_name_and_types_are_widened() {
        let files = vec![
            file("t/a.parquet", &[("x", DataType::Int32), ("y", DataType::Utf8)]),
            file("t/b.parquet", &[("z", DataType::Boolean), ("x", DataType::Float64)]),
            file("t/c.parquet", &[("x", DataType::Float64), ("y", DataType::Utf8), ("z", DataType::Boolean)]),
        ];
        let schema = union_schema(TableFormat::Parquet, &files).unwrap();
        let expected = [
            Field::new("x", DataType::Float64, false),
            Field::new("y", DataType::Utf8, true),
            Field::new("z", DataType::Boolean, true),
        ];
        assert_eq!(schema.fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>(), expected);
        let own = own_schemas(&schema, files);
        assert_eq!(own.len(), 1);
        assert_eq!(own[&Path::from("t/a.parquet")].field(0).data_type(), &DataType::Int32);
    }

    #[test]
    fn files_without_a_common_type_are_named() {
        let files = [
            file("a.json", &[("x", DataType::Int64)]),
            file("b.json", &[("x", DataType::Float64)]),
            file("c.json", &[("x", DataType::Utf8)]),
        ];
        let format = TableFormat::Json(FileCompressionType::UNCOMPRESSED);
        let error = union_schema(format, &files).unwrap_err().to_string();
        let sentence =
            "different types in column 'x', Float64 in 'b.json' and Utf8 in 'c.json', which have no common type; ";
        assert!(error.contains(sentence), "{error}");
        assert_eq!(union_schema(CSV, &files).unwrap().field(0).data_type(), &DataType::Utf8);
    }

    #[test]
    fn columns_of_csv_files_are_in_order() {
        let files = [
            file("1.csv", &[("a", DataType::Int64), ("b", DataType::Int64)]),
            file("2.csv", &[("b", DataType::Int64), ("a", DataType::Int64)]),
        ];
        let error = union_schema(CSV, &files).unwrap_err().to_string();
        assert!(error.contains("'2.csv' has (b, a), the files together (a, b); "), "{error}");
        assert!(union_schema(TableFormat::Parquet, &files).is_ok());
        assert!(union_schema(CSV, &[]).unwrap().fields().is_empty());
    }
}
