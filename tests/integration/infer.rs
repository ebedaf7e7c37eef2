//! `InferExec` end to end: how many images run, memory limits, cancellation, errors.

use std::error::Error;
use std::sync::{Arc, Mutex};

use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::StreamExt;
use libtest_mimic::Trial;
use ocelli::{Ocelli, Progress, functions};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("infer::metrics_count_run_and_failed_images", metrics_count_run_and_failed_images),
        trial(
            "infer::cheap_predicates_are_evaluated_before_the_model",
            cheap_predicates_are_evaluated_before_the_model,
        ),
        trial("infer::duplicate_calls_are_evaluated_once", duplicate_calls_are_evaluated_once),
        trial("infer::limits_are_pushed_below_the_model", limits_are_pushed_below_the_model),
        trial("infer::conditional_calls_run_on_selected_rows_only", conditional_calls_run_on_selected_rows_only),
        trial("infer::duplicate_images_are_evaluated_once", duplicate_images_are_evaluated_once),
        trial("infer::a_batch_is_split_over_all_workers", a_batch_is_split_over_all_workers),
        trial("infer::dropping_the_stream_cancels_the_work", dropping_the_stream_cancels_the_work),
        trial("infer::an_invalid_image_fails_the_query_at_its_row", an_invalid_image_fails_the_query_at_its_row),
        trial("infer::empty_inputs_and_null_images_run_nothing", empty_inputs_and_null_images_run_nothing),
        trial("infer::concurrent_queries_share_a_model", concurrent_queries_share_a_model),
        trial("infer::micro_batches_shrink_under_memory_pressure", micro_batches_shrink_under_memory_pressure),
        trial("infer::duplicate_images_need_the_memory_of_one", duplicate_images_need_the_memory_of_one),
        trial("infer::fetches_stay_within_the_memory_limit", fetches_stay_within_the_memory_limit),
        trial("infer::masked_rows_are_not_fetched", masked_rows_are_not_fetched),
        trial("infer::insufficient_memory_names_the_image", insufficient_memory_names_the_image),
        trial("infer::an_extended_session_state_runs_models", an_extended_session_state_runs_models),
        trial("infer::expression_builders_equal_the_sql_functions", expression_builders_equal_the_sql_functions),
        trial("infer::a_folder_is_registered_as_a_model", a_folder_is_registered_as_a_model),
        trial("infer::progress_is_reported", progress_is_reported),
    ]
}

const PHOTOS: &str = "'examples/data/photos.parquet'";
const MIXED: &str = "'examples/data/mixed.parquet'";

/// Executes a query; returns the number of images that were run, and that failed.
async fn counts(query: &str) -> Result<(usize, usize), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    Ok((count(&plan, "images_run"), count(&plan, "images_failed")))
}

/// The sum of a metric over all nodes of a plan.
pub(crate) fn count(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |value| value.as_usize());
    own + plan.children().into_iter().map(|child| count(child, name)).sum::<usize>()
}

#[tokio::main]
async fn metrics_count_run_and_failed_images() -> Result<(), Box<dyn Error>> {
    assert_eq!(counts(&format!("SELECT try_classify(image) FROM {MIXED}")).await?, (3, 2));
    Ok(())
}

/// Asserts how many images each query runs: `(query, images)`.
async fn assert_runs(queries: &[(&str, usize)]) -> Result<(), Box<dyn Error>> {
    for (query, expected) in queries {
        let query = query.replace("PHOTOS", PHOTOS).replace("MIXED", MIXED);
        assert_eq!(counts(&query).await?.0, *expected, "{query}");
    }
    Ok(())
}

#[tokio::main]
async fn cheap_predicates_are_evaluated_before_the_model() -> Result<(), Box<dyn Error>> {
    assert_runs(&[
        ("SELECT uri FROM PHOTOS WHERE classify(image) = 'cat' AND uri LIKE '%/cat%'", 1),
        ("SELECT uri FROM PHOTOS WHERE false AND classify(image) = 'cat'", 0),
        // Independent of the selectivity.
        ("SELECT uri FROM PHOTOS WHERE classify(image) = 'cat' AND uri <> 'photos/cat.jpg'", 11),
        ("SELECT uri FROM (SELECT uri, classify(image) AS label FROM PHOTOS) WHERE label = 'cat' AND uri LIKE '%/c%'", 3),
        (
            "SELECT uri FROM PHOTOS WHERE classify(image) = 'cat' AND uri IN (SELECT uri FROM MIXED)",
            3,
        ),
        // The first call filters the rows of the second one.
        (
            "SELECT uri FROM PHOTOS WHERE classify(image) = 'horse' AND classify(arrow_cast(image, 'Binary')) = 'cat'",
            13,
        ),
    ])
    .await
}

#[tokio::main]
async fn duplicate_calls_are_evaluated_once() -> Result<(), Box<dyn Error>> {
    assert_runs(&[
        ("SELECT classify(image), upper(classify(image)), try_classify(image) FROM PHOTOS", 12),
        ("SELECT label FROM (SELECT classify(image) AS label FROM PHOTOS) WHERE label = 'cat'", 12),
        (
            "SELECT classify(image), embed(image), classify_topk(image, k => 2) FROM PHOTOS WHERE classify(image) <> 'cat'
             ORDER BY classify(image) DESC",
            12,
        ),
        (
            "SELECT classify(image), count(*) FROM PHOTOS GROUP BY classify(image) HAVING classify(image) <> 'cat'
             ORDER BY classify(image)",
            12,
        ),
        ("SELECT count(*) FROM (SELECT classify(image) FROM PHOTOS)", 0),
        (
            "SELECT classify(p.image) FROM (SELECT image, uri FROM PHOTOS WHERE classify(image) = 'truck') AS p
             JOIN PHOTOS AS q ON p.uri = q.uri",
            12,
        ),
        // An unread label is pruned, not shared: the model runs above the join, on fewer rows.
        (
            "SELECT classify(p.image) FROM (SELECT uri, image, classify(image) AS label FROM PHOTOS) AS p
             JOIN (SELECT uri FROM MIXED) AS m ON p.uri = m.uri",
            3,
        ),
    ])
    .await
}

#[tokio::main]
async fn limits_are_pushed_below_the_model() -> Result<(), Box<dyn Error>> {
    assert_runs(&[
        ("SELECT classify(image) FROM PHOTOS LIMIT 2", 2),
        ("SELECT classify(image) FROM PHOTOS LIMIT 2 OFFSET 3", 2),
        ("SELECT uri, classify(image) FROM PHOTOS ORDER BY width, uri LIMIT 4", 4),
        ("SELECT uri, classify(image) FROM PHOTOS ORDER BY title DESC LIMIT 2 OFFSET 2", 2),
        ("SELECT * FROM (SELECT uri, classify(image) FROM PHOTOS) AS p ORDER BY p.uri LIMIT 1", 1),
        ("SELECT uri FROM PHOTOS ORDER BY classify(image) LIMIT 1", 12),
    ])
    .await?;
    // LIMIT cancels the model as soon as enough rows pass a filter on the label.
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    ocelli.sql("SET ocelli.infer_batch_rows = 4").await?.collect().await?;
    let many = format!("SELECT image FROM range(1000) CROSS JOIN (SELECT image FROM {PHOTOS})");
    ocelli.sql(&format!("CREATE TABLE many AS {many}")).await?.collect().await?;
    assert_eq!(run(&ocelli, "SELECT classify(image) FROM many LIMIT 10").await?, (10, 10));
    let (_, run) = run(&ocelli, "SELECT 1 FROM many WHERE classify(image) IS NOT NULL LIMIT 5").await?;
    // Two micro-batches have five rows; three more can be in flight by then.
    assert!(run <= (2 + 3) * 4, "{run} images for five rows");
    Ok(())
}

#[tokio::main]
async fn conditional_calls_run_on_selected_rows_only() -> Result<(), Box<dyn Error>> {
    assert_runs(&[
        ("SELECT CASE WHEN uri LIKE '%/c%' THEN classify(image) END FROM PHOTOS", 3),
        ("SELECT CASE uri WHEN 'photos/cat.jpg' THEN classify(image) ELSE 'other' END FROM PHOTOS", 1),
        ("SELECT CASE WHEN uri LIKE '%/c%' THEN 'c' ELSE classify(image) END FROM PHOTOS", 9),
        ("SELECT COALESCE(NULLIF(uri, 'photos/cat.jpg'), classify(image)) FROM PHOTOS", 1),
        ("SELECT nvl2(NULLIF(uri, 'photos/cat.jpg'), 'x', classify(image)) FROM PHOTOS", 1),
        ("SELECT uri LIKE '%/c%' AND classify(image) = 'cat' FROM PHOTOS", 3),
        ("SELECT classify(image) = 'cat' AND uri LIKE '%/c%' FROM PHOTOS", 3),
        ("SELECT uri LIKE '%/c%' OR classify(image) = 'cat' FROM PHOTOS", 9),
        ("SELECT count(classify(image)) FILTER (WHERE uri LIKE '%/c%') FROM PHOTOS", 3),
        // Overlapping branches run each image once.
        (
            "SELECT CASE WHEN uri LIKE '%/c%' THEN classify(image) END,
                    CASE WHEN uri LIKE '%/ca%' THEN classify_topk(image) END FROM PHOTOS",
            3,
        ),
        ("SELECT CASE WHEN classify(image) = 'cat' THEN embed(image) END FROM PHOTOS", 12),
    ])
    .await
}

/// Executes a query; returns the number of rows, and of images that were run.
async fn run(ocelli: &Ocelli, query: &str) -> Result<(usize, usize), Box<dyn Error>> {
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    Ok((batches.iter().map(|batch| batch.num_rows()).sum(), count(&plan, "images_run")))
}

#[tokio::main]
async fn duplicate_images_are_evaluated_once() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let query =
        format!("SELECT classify(image) FROM (SELECT image FROM {PHOTOS} LIMIT 3) AS three CROSS JOIN range(100)");
    let plan = ocelli.sql(&query).await?.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 300);
    let counts = ["images_in", "images_run", "images_reused", "images_failed"].map(|name| count(&plan, name));
    assert_eq!(counts[0], 300);
    assert!((3..30).contains(&counts[1]), "{counts:?}");
    assert_eq!(counts[1] + counts[2] + counts[3], counts[0]);
    Ok(())
}

/// A batch of a single partition is split into one micro-batch per worker.
#[tokio::main]
async fn a_batch_is_split_over_all_workers() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(4).build()?;
    let plan = ocelli.sql(&format!("SELECT classify(image) FROM {PHOTOS}")).await?.create_physical_plan().await?;
    let batches = collect(plan, ocelli.context().task_ctx()).await?;
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).collect::<Vec<_>>(), [3, 3, 3, 3]);
    Ok(())
}

/// The stream is dropped after its first rows: at most one in-flight window of images has run by then, and none runs later.
#[tokio::main]
async fn dropping_the_stream_cancels_the_work() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    ocelli.sql("SET ocelli.infer_batch_rows = 1").await?.collect().await?;
    let query = "SELECT classify(image) FROM 'examples/data/photos.parquet', range(1000)";
    let plan = ocelli.sql(query).await?.create_physical_plan().await?;
    let mut rows = execute_stream(Arc::clone(&plan), ocelli.context().task_ctx())?;
    assert!(rows.next().await.is_some());
    drop(rows);
    // When these complete, everything that was queued before them has completed.
    let other = "SELECT count(classify(image)) FROM 'examples/data/photos.parquet'";
    ocelli.sql(other).await?.collect().await?;
    let run = count(&plan, "images_run");
    assert!(run < 100, "{run} images were run");
    ocelli.sql(other).await?.collect().await?;
    assert_eq!(count(&plan, "images_run"), run, "images were run after the stream was dropped");
    Ok(())
}

/// Five partitions; the third has an invalid image after valid ones.
#[tokio::main]
async fn an_invalid_image_fails_the_query_at_its_row() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(5).build()?;
    let branch = |file: &str| format!("SELECT uri, classify(image) AS label FROM {file}");
    let valid = branch(PHOTOS);
    let query = format!("{valid} UNION ALL {valid} UNION ALL {} UNION ALL {valid} UNION ALL {valid}", branch(MIXED));
    let plan = ocelli.sql(&query).await?.create_physical_plan().await?;
    let rows = execute_stream(plan, ocelli.context().task_ctx())?;
    let failed = rows.filter_map(|batch| async move { batch.err() }).collect::<Vec<_>>().await;
    let messages: Vec<String> = failed.iter().map(ocelli::user_message).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with("cannot decode image 'photos/truncated.jpg': "), "{messages:?}");
    // Within the partition, the rows before the image are returned first.
    ocelli.sql("SET ocelli.infer_batch_rows = 1").await?.collect().await?;
    let plan = ocelli.sql(&branch(MIXED)).await?.create_physical_plan().await?;
    let mut rows = execute_stream(plan, ocelli.context().task_ctx())?;
    assert_eq!(rows.next().await.ok_or("no rows")??.num_rows(), 1);
    assert!(rows.next().await.ok_or("no error")?.is_err());
    assert!(rows.next().await.is_none(), "the stream continues after an error");
    Ok(())
}

#[tokio::main]
async fn empty_inputs_and_null_images_run_nothing() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    for (query, expected) in [
        (format!("SELECT classify(image) FROM {PHOTOS} WHERE width < 0"), (0, 0)),
        (format!("SELECT classify(image) FROM {PHOTOS} LIMIT 0"), (0, 0)),
        (format!("SELECT classify(NULL) FROM {PHOTOS}"), (12, 0)),
        (format!("SELECT classify(image) FROM {MIXED} WHERE image IS NULL"), (1, 0)),
        ("SELECT classify(NULL)".to_owned(), (1, 0)),
    ] {
        assert_eq!(run(&ocelli, &query).await?, expected, "{query}");
    }
    Ok(())
}

#[tokio::main]
async fn concurrent_queries_share_a_model() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let query = format!("SELECT classify(image) FROM {PHOTOS}");
    let (one, two) = tokio::join!(run(&ocelli, &query), run(&ocelli, &query));
    assert_eq!((one?, two?), ((12, 12), (12, 12)));
    Ok(())
}

/// Micro-batches shrink to one image before a query fails.
#[tokio::main]
async fn micro_batches_shrink_under_memory_pressure() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(1_500_000).build()?;
    let query = format!("SELECT classify(image) FROM {PHOTOS} WHERE uri NOT LIKE '%pagoda%'");
    let plan = ocelli.sql(&query).await?.create_physical_plan().await?;
    let rows = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 11);
    let peak = count(&plan, "peak_bytes");
    assert!((1..=1_500_000).contains(&peak), "{peak}");
    assert_eq!(ocelli.context().runtime_env().memory_pool.reserved(), 0, "memory is still reserved");
    Ok(())
}

/// A hundred copies of an image, with memory for one.
#[tokio::main]
async fn duplicate_images_need_the_memory_of_one() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(700_000).build()?;
    let photo = format!("SELECT image FROM {PHOTOS} WHERE uri = 'photos/cat.jpg'");
    let copies = vec!["SELECT image FROM one"; 100].join(" UNION ALL ");
    ocelli.sql(&format!("CREATE TABLE one AS {photo}")).await?.collect().await?;
    ocelli.sql(&format!("CREATE TABLE copies AS {copies}")).await?.collect().await?;
    let batches = ocelli.context().table("copies").await?.collect().await?;
    let copies = datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches)?;
    ocelli.context().register_batch("batch", copies)?;
    assert_eq!(run(&ocelli, "SELECT classify(image) FROM batch").await?.0, 100);
    Ok(())
}

/// A thousand files, with memory for a few.
#[tokio::main]
async fn fetches_stay_within_the_memory_limit() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(1_500_000).build()?;
    let files = format!("SELECT 'examples/data/' || uri AS file FROM {PHOTOS} WHERE uri NOT LIKE '%pagoda%'");
    let query = format!("SELECT classify(file) FROM ({files}) CROSS JOIN generate_series(1, 91)");
    let plan = ocelli.sql(&query).await?.create_physical_plan().await?;
    let rows = collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1001);
    assert!((1..=1_500_000).contains(&count(&plan, "peak_bytes")));
    // The plan holds the build side of the join.
    drop(plan);
    assert_eq!(ocelli.context().runtime_env().memory_pool.reserved(), 0, "memory is still reserved");
    // Four partitions prefetch, and leave each other enough memory to run.
    let ocelli = Ocelli::builder().with_threads(4).with_memory_limit(1_500_000).build()?;
    let parts = vec![format!("SELECT classify(file) AS label FROM ({files}) CROSS JOIN generate_series(1, 20)"); 4];
    let labels = ocelli.sql(&parts.join(" UNION ALL ")).await?.collect().await?;
    assert_eq!(labels.iter().map(|batch| batch.num_rows()).sum::<usize>(), 880);
    // Scalar evaluation fetches a whole batch, here 20 MB.
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    for set in ["ocelli.lift_infer = false", "ocelli.infer_batch_rows = 400"] {
        ocelli.sql(&format!("SET {set}")).await?;
    }
    let schooner = "SELECT classify('examples/data/photos/' || name) AS label FROM (SELECT 'schooner.png' AS name)";
    let query = format!("SELECT label FROM ({schooner} CROSS JOIN generate_series(1, 400)) WHERE label = 'ship'");
    let labels = ocelli.sql(&query).await?.collect().await?;
    assert_eq!(labels.iter().map(|batch| batch.num_rows()).sum::<usize>(), 400);
    // Too little memory for the decoded image, and for the encoded one.
    for limit in [100_000, 20_000] {
        let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(limit).build()?;
        let query = "SELECT try_classify('examples/data/photos/cat.jpg')";
        let error = run(&ocelli, query).await.expect_err("too little memory");
        let message = ocelli::user_message(&*error.downcast::<datafusion::error::DataFusionError>()?);
        assert!(
            message.starts_with(
                "not enough memory for image 'examples/data/photos/cat.jpg': decoding and preprocessing it needs "
            ),
            "{message}"
        );
    }
    Ok(())
}

/// Neither a filter nor the condition of a CASE fetches images of other rows.
#[tokio::main]
async fn masked_rows_are_not_fetched() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let cat = std::fs::metadata("examples/data/photos/cat.jpg")?.len() as usize;
    let files = format!("(SELECT uri, 'examples/data/' || uri AS file FROM {PHOTOS})");
    for query in [
        format!("SELECT classify(file) FROM {files} WHERE uri LIKE '%cat%'"),
        format!("SELECT CASE WHEN uri LIKE '%cat%' THEN classify(file) END FROM {files}"),
    ] {
        let plan = ocelli.sql(&query).await?.create_physical_plan().await?;
        collect(Arc::clone(&plan), ocelli.context().task_ctx()).await?;
        assert_eq!((count(&plan, "images_run"), count(&plan, "bytes_fetched")), (1, cat), "{query}");
    }
    Ok(())
}

#[tokio::main]
async fn insufficient_memory_names_the_image() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).with_memory_limit(100_000).build()?;
    let error = run(&ocelli, &format!("SELECT classify(image) FROM {PHOTOS}")).await.expect_err("too little memory");
    let error = error.downcast::<datafusion::error::DataFusionError>()?;
    let message = ocelli::user_message(&error);
    assert!(
        message.starts_with("not enough memory for image 'photos/cat.jpg': decoding and preprocessing it needs "),
        "{message}"
    );
    assert!(message.contains("the memory limit of 97.7 KB leaves less; raise the limit ("), "{message}");
    Ok(())
}

#[tokio::main]
async fn a_folder_is_registered_as_a_model() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    ocelli.register_model("mine", "engine/src/models/resnet20-cifar10").await?;
    let same = format!("SELECT 1 FROM {PHOTOS} WHERE classify(image, model => 'mine') = classify(image)");
    assert_eq!(run(&ocelli, &same).await?, (12, 24));
    ocelli.sql("SET ocelli.model = 'mine'").await?.collect().await?;
    assert_eq!(run(&ocelli, &same).await?, (12, 12));
    let error = ocelli.register_model("none", "examples/data").await.expect_err("a folder without a model");
    let message = ocelli::user_message(&error);
    assert!(
        message.starts_with("model 'none' cannot be created from 'examples/data': the folder contains no ONNX file"),
        "{message}"
    );
    Ok(())
}

#[tokio::main]
async fn progress_is_reported() -> Result<(), Box<dyn Error>> {
    let reports = Arc::new(Mutex::new(Vec::<Progress>::new()));
    let sink = Arc::clone(&reports);
    let ocelli = Ocelli::builder()
        .with_threads(2)
        .with_progress_callback(move |progress| sink.lock().expect("no panic").push(progress.clone()))
        .build()?;
    for (query, rows, total_rows, failed) in [
        (format!("SELECT count(try_classify(image)) FROM {MIXED}"), 6, Some(6), 2),
        (format!("SELECT try_classify(image) FROM {MIXED}"), 6, Some(6), 2),
        (format!("SELECT count(*) FROM {PHOTOS} WHERE width > 0"), 12, None, 0),
        (format!("SELECT uri FROM {PHOTOS} LIMIT 3"), 3, Some(12), 0),
    ] {
        reports.lock().expect("no panic").clear();
        ocelli.sql(&query).await?.collect().await?;
        // The last report is sent from another thread.
        let last = loop {
            if let Some(last) = reports.lock().expect("no panic").last().filter(|last| last.is_finished) {
                break last.clone();
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((last.rows, last.total_rows, last.failed), (rows, total_rows, failed), "{query}: {last:?}");
    }
    Ok(())
}

#[tokio::main]
async fn an_extended_session_state_runs_models() -> Result<(), Box<dyn Error>> {
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
async fn expression_builders_equal_the_sql_functions() -> Result<(), Box<dyn Error>> {
    use datafusion::prelude::{ParquetReadOptions, col};

    let ocelli = Ocelli::builder().build()?;
    let image = || col("image");
    let photos = ocelli.context().read_parquet("examples/data/photos.parquet", ParquetReadOptions::default()).await?;
    let same = photos
        .filter(functions::classify(image()).eq(functions::classify_with_model(image(), "resnet20-cifar10")))?
        .filter(functions::try_classify(image()).eq(functions::try_classify_with_model(image(), "resnet20-cifar10")))?;
    assert_eq!(same.count().await?, 12);
    Ok(())
}
