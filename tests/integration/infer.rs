//! The operator from outside: what it counts, and what a dropped stream leaves behind.

use std::error::Error;
use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::StreamExt;
use libtest_mimic::Trial;
use ocelli::{Ocelli, functions};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("infer::images_are_counted", images_are_counted),
        trial("infer::a_filter_spares_the_model", a_filter_spares_the_model),
        trial("infer::equal_calls_run_once", equal_calls_run_once),
        trial("infer::a_dropped_stream_stops", a_dropped_stream_stops),
        trial("infer::an_extended_session_has_everything", an_extended_session_has_everything),
        trial("infer::expressions_are_the_same_functions", expressions_are_the_same_functions),
    ]
}

/// Images that went through the model, and images that were bad, anywhere in the plan.
async fn counts(query: &str) -> Result<(usize, usize), Box<dyn Error>> {
    let ocelli = Ocelli::builder().threads(2).build()?;
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    Ok((count(&plan, "images_run"), count(&plan, "images_failed")))
}

fn count(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let here = plan.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |value| value.as_usize());
    here + plan.children().into_iter().map(|child| count(child, name)).sum::<usize>()
}

#[tokio::main]
async fn images_are_counted() -> Result<(), Box<dyn Error>> {
    assert_eq!(counts("SELECT try_classify(image) FROM 'examples/data/mixed.parquet'").await?, (3, 2));
    Ok(())
}

#[tokio::main]
async fn a_filter_spares_the_model() -> Result<(), Box<dyn Error>> {
    let photos = "SELECT uri FROM 'examples/data/photos.parquet'";
    let query = format!("{photos} WHERE classify(image) = 'cat' AND uri LIKE '%cat%'");
    assert_eq!(counts(&query).await?, (1, 0));
    assert_eq!(counts(&format!("{photos} WHERE false AND classify(image) = 'cat'")).await?, (0, 0));
    Ok(())
}

#[tokio::main]
async fn equal_calls_run_once() -> Result<(), Box<dyn Error>> {
    let query =
        "SELECT classify(image), upper(classify(image)), try_classify(image) FROM 'examples/data/photos.parquet'";
    assert_eq!(counts(query).await?, (12, 0));
    Ok(())
}

/// The stream is dropped after its first rows; the images of one window at most have been run then, and none after.
#[tokio::main]
async fn a_dropped_stream_stops() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().threads(2).build()?;
    ocelli.sql("SET ocelli.infer_batch_rows = 1").await?.collect().await?;
    let query = "SELECT classify(image) FROM 'examples/data/photos.parquet', range(1000)";
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    let mut rows = execute_stream(Arc::clone(&plan), ocelli.context().task_ctx())?;
    assert!(rows.next().await.is_some());
    drop(rows);
    // Whatever was queued before these has been worked off after them.
    let other = "SELECT count(classify(image)) FROM 'examples/data/photos.parquet'";
    ocelli.sql(other).await?.collect().await?;
    let run = count(&plan, "images_run");
    assert!(run < 100, "{run} images were run");
    ocelli.sql(other).await?.collect().await?;
    assert_eq!(count(&plan, "images_run"), run, "nothing is run for a stream that is gone");
    Ok(())
}

#[tokio::main]
async fn an_extended_session_has_everything() -> Result<(), Box<dyn Error>> {
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{ParquetReadOptions, SessionContext};

    let builder = ocelli::extend(SessionStateBuilder::new().with_default_features())?;
    let context = SessionContext::new_with_state(builder.build());
    context.register_parquet("mixed", "examples/data/mixed.parquet", ParquetReadOptions::default()).await?;
    context.sql("SET ocelli.on_error = 'null'").await?.collect().await?;
    let labelled = context.sql("SELECT classify(image) AS label FROM mixed").await?;
    let labels = labelled.filter(datafusion::prelude::col("label").is_not_null())?;
    assert_eq!(labels.count().await?, 3);
    Ok(())
}

#[tokio::main]
async fn expressions_are_the_same_functions() -> Result<(), Box<dyn Error>> {
    use datafusion::prelude::{ParquetReadOptions, col};

    let ocelli = Ocelli::builder().build()?;
    let image = || col("image");
    let photos = ocelli.context().read_parquet("examples/data/photos.parquet", ParquetReadOptions::default()).await?;
    let same =
        photos
            .filter(functions::classify(image()).eq(functions::classify_with(image(), "resnet20-cifar10")))?
            .filter(functions::try_classify(image()).eq(functions::try_classify_with(image(), "resnet20-cifar10")))?;
    assert_eq!(same.count().await?, 12);
    Ok(())
}
