//! [`Headers`]: the names of columns as they are displayed, without the paths of files.
//!
//! `min(/data/photos.parquet.height)` is `min(height)`, unless two columns would then have the same name.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

/// The qualifiers of columns that are paths, longest first: `/data/photos.parquet.`
pub(crate) struct Headers {
    paths: Vec<String>,
}

impl Headers {
    /// The files that a query reads.
    pub(crate) fn from_plan(plan: &LogicalPlan) -> Result<Self> {
        let mut paths = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table().contains(['/', '\\', '.', '*'])
            {
                paths.push(format!("{}.", scan.table_name));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        // The end of one path may be another.
        paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
        Ok(Self { paths })
    }

    /// A schema with the displayed names.
    pub(crate) fn schema(&self, schema: &SchemaRef) -> SchemaRef {
        if self.paths.is_empty() {
            return SchemaRef::clone(schema);
        }
        let fields = schema.fields().iter().zip(self.names(schema));
        let fields: Vec<_> = fields.map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
        SchemaRef::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }

    /// A batch with the displayed names.
    pub(crate) fn batch(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.paths.is_empty() {
            return Ok(batch);
        }
        let schema = self.schema(batch.schema_ref());
        RecordBatch::try_new(schema, batch.columns().to_vec())
    }

    fn names(&self, schema: &Schema) -> Vec<String> {
        let short: Vec<String> = schema.fields().iter().map(|field| self.short_name(field.name())).collect();
        let is_unique = |name: &String| !name.is_empty() && short.iter().filter(|other| *other == name).count() == 1;
        let fields = schema.fields().iter().zip(&short);
        fields.map(|(field, short)| if is_unique(short) { short.clone() } else { field.name().clone() }).collect()
    }

    fn short_name(&self, name: &str) -> String {
        let mut short = String::with_capacity(name.len());
        let mut rest = name;
        while let Some(character) = rest.chars().next() {
            let path = self.paths.iter().find_map(|path| rest.strip_prefix(path.as_str()));
            match path.filter(|_| !short.ends_with(is_part_of_path)) {
                Some(after) => rest = after,
                None => {
                    short.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        short
    }
}

/// Whether a character before a path belongs to a longer path.
fn is_part_of_path(character: char) -> bool {
    character.is_alphanumeric() || ['/', '\\', '.', '_', '-', '*'].contains(&character)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    fn names(paths: &[&str], names: &[&str]) -> Vec<String> {
        let headers = Headers { paths: paths.iter().map(|path| format!("{path}.")).collect() };
        let fields: Vec<_> = names.iter().map(|name| Field::new(*name, DataType::Int32, true)).collect();
        headers.names(&Schema::new(fields))
    }

    #[test]
    fn paths_are_removed_inside_of_expressions() {
        assert_eq!(
            names(&["/a/b.parquet"], &["min(/a/b.parquet.height)", "/a/b.parquet.x + /a/b.parquet.y", "uri"]),
            ["min(height)", "x + y", "uri"]
        );
    }

    #[test]
    fn names_that_would_clash_keep_their_paths() {
        let clash = ["min(a.csv.n)", "min(b.csv.n)", "max(a.csv.n)"];
        assert_eq!(names(&["a.csv", "b.csv"], &clash), ["min(a.csv.n)", "min(b.csv.n)", "max(n)"]);
        assert_eq!(names(&["a.csv"], &["n", "a.csv.n"]), ["n", "a.csv.n"]);
    }

    #[test]
    fn the_end_of_a_path_is_no_path() {
        assert_eq!(names(&["b.csv"], &["sum(a/b.csv.n)", "sum(b.csv.n)"]), ["sum(a/b.csv.n)", "sum(n)"]);
    }
}
