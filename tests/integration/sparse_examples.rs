//! The examples of sparse products agree with networkx, scikit-learn and SciPy, and run as sparse products.
//!
//! `tests/data/graphs/reference.py` computed the expected results from the same files.

use std::error::Error;

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::physical_plan::displayable;
use datafusion::prelude::DataFrame;
use libtest_mimic::Trial;
use ocelli::Ocelli;

use crate::trial;

// The example programs themselves, so that the tested code is the documented code.
#[expect(dead_code, reason = "only the example binary calls main")]
#[path = "../../examples/breadth_first_search.rs"]
mod breadth_first_search;
#[expect(dead_code, reason = "only the example binary calls main")]
#[path = "../../examples/document_similarity.rs"]
mod document_similarity;
#[expect(dead_code, reason = "only the example binary calls main")]
#[path = "../../examples/pagerank.rs"]
mod pagerank;
#[expect(dead_code, reason = "only the example binary calls main")]
#[path = "../../examples/shortest_paths.rs"]
mod shortest_paths;
#[expect(dead_code, reason = "only the example binary calls main")]
#[path = "../../examples/similar_items.rs"]
mod similar_items;

use breadth_first_search::breadth_first_search;
use document_similarity::document_similarity;
use pagerank::pagerank;
use shortest_paths::{SQUARE, shortest_paths};
use similar_items::similar_items;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sparse_examples::breadth_first_search", || compare("breadth_first_search", breadth_first_search)),
        trial("sparse_examples::document_similarity", || compare("document_similarity", document_similarity)),
        trial("sparse_examples::pagerank", || compare("pagerank", pagerank)),
        trial("sparse_examples::shortest_paths", || compare("shortest_paths", shortest_paths)),
        trial("sparse_examples::similar_items", || compare("similar_items", similar_items)),
        trial("sparse_examples::examples_run_as_sparse_products", examples_run_as_sparse_products),
    ]
}

/// Floating-point sums in another order differ by less; integers must be equal.
const TOLERANCE: f64 = 1e-9;

#[tokio::main]
async fn compare(
    name: &str,
    example: impl AsyncFnOnce(&Ocelli) -> datafusion::error::Result<DataFrame>,
) -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let expected = ocelli.sql(&format!("SELECT * FROM 'tests/data/graphs/expected_{name}.csv'")).await?;
    let (rows, expected) = (cells(example(&ocelli).await?).await?, cells(expected).await?);
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row.len(), expected.len(), "{row:?}");
        for (cell, expected_cell) in row.iter().zip(expected) {
            assert!(is_same(cell, expected_cell), "found {row:?}, expected {expected:?}");
        }
    }
    Ok(())
}

fn is_same(cell: &str, expected: &str) -> bool {
    match (cell.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(cell), Ok(expected)) => (cell - expected).abs() <= TOLERANCE,
        _ => cell == expected,
    }
}

/// The column names, then the rows, as strings.
async fn cells(rows: DataFrame) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let mut cells: Vec<Vec<String>> = vec![rows.schema().fields().iter().map(|field| field.name().clone()).collect()];
    for batch in rows.collect().await? {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| array_value_to_string(column, row));
            cells.push(values.collect::<Result<_, _>>()?);
        }
    }
    Ok(cells)
}

#[tokio::main]
async fn examples_run_as_sparse_products() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    // Creates the table that `SQUARE` reads.
    shortest_paths(&ocelli).await?;
    let queries = [
        breadth_first_search(&ocelli).await?,
        document_similarity(&ocelli).await?,
        pagerank(&ocelli).await?,
        ocelli.sql(SQUARE).await?,
        similar_items(&ocelli).await?,
    ];
    for query in queries {
        let plan = query.create_physical_plan().await?;
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        assert!(plan.contains("method=spgemm") || plan.contains("method=spmv"), "{plan}");
    }
    Ok(())
}
