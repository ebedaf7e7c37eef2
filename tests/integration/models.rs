//! Models that are damaged, missing or replaced: one sentence each, nothing by halves, and running queries keep theirs.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use libtest_mimic::Trial;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use ocelli::{Ocelli, user_message};
use url::Url;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("models::damaged_files_are_named", damaged_files_are_named),
        trial("models::mutated_files_do_no_harm", mutated_files_do_no_harm),
        trial("models::any_text_is_parsed_or_refused", any_text_is_parsed_or_refused),
        trial("models::a_name_is_taken_once", a_name_is_taken_once),
        trial("models::models_and_images_are_in_object_stores", models_and_images_are_in_object_stores),
        trial("models::running_queries_keep_their_model", running_queries_keep_their_model),
    ]
}

const MODELS: &str = "tests/data/models";

async fn create(ocelli: &Ocelli, location: &Path) -> Result<(), String> {
    let location = location.display();
    let create = format!("CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ('backend' 'rten')");
    ocelli.sql(&create).await.map(|_| ()).map_err(|error| user_message(&error))
}

#[tokio::main]
async fn damaged_files_are_named() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    let external = fs::read(format!("{MODELS}/external/onnx/model.onnx"))?;
    let (from, to) = (b"model.onnx.data", b"../../../secret");
    let at = external.windows(from.len()).position(|window| window == from).ok_or("no external data")?;
    // Each of the weights has the name.
    let mut outside = external.clone();
    for at in at..external.len() - from.len() {
        if outside[at..].starts_with(from) {
            outside[at..at + to.len()].copy_from_slice(to);
        }
    }
    let small = fs::read(format!("{MODELS}/newest.onnx"))?;
    for (bytes, problem) in [
        (&external[..], "its weights are in 'model.onnx.data' beside it: there is no such file"),
        (&outside[..], "its weights are in '../../../secret', outside its folder"),
        (&small[..small.len() / 2], "it is not an ONNX file, or it is corrupt (it is truncated)"),
        (&[][..], "it is not an ONNX file, or it is corrupt (it contains no graph)"),
    ] {
        fs::write(&file, bytes)?;
        let error = create(&ocelli, folder.path()).await.expect_err(problem);
        assert!(error.contains(problem), "{error}");
        assert!(
            error.starts_with(&format!("model 'm' cannot be created from '{}'", folder.path().display())),
            "{error}"
        );
    }
    fs::write(&file, &small)?;
    for (name, text, problem) in [
        (
            "config.json",
            "{\"id2label\": {\"0\": \"a\", \"2\": \"c\"}}",
            "config.json: id2label has 2 labels, and none for class 1",
        ),
        ("config.json", "{", "config.json: EOF while parsing an object"),
        ("preprocessor_config.json", "{}", "preprocessor_config.json: size is missing"),
        ("labels.txt", "", "labels.txt has no labels"),
    ] {
        fs::write(folder.path().join(name), text)?;
        let error = create(&ocelli, folder.path()).await.expect_err(problem);
        assert!(error.contains(problem), "{error}");
        fs::remove_file(folder.path().join(name))?;
    }
    fs::write(folder.path().join("config.json"), [0xff, 0xfe])?;
    let error = create(&ocelli, folder.path()).await.expect_err("no text");
    assert!(error.ends_with("config.json: it is not UTF-8 text"), "{error}");
    let known = ocelli.sql("SELECT name FROM system.models").await?.count().await?;
    assert_eq!(known, 1, "nothing was registered");
    Ok(())
}

/// Files with some bytes changed, of which many are still models.
#[tokio::main]
async fn mutated_files_do_no_harm() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    let mut random = fastrand::Rng::with_seed(4);
    for name in ["newest", "half", "table"] {
        let whole = fs::read(format!("{MODELS}/{name}.onnx"))?;
        for _ in 0..200 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            fs::write(&file, bytes)?;
            let _ = create(&ocelli, folder.path()).await;
        }
    }
    Ok(())
}

/// Words and signs of our statements in any order.
fn any_text_is_parsed_or_refused() -> Result<(), Box<dyn Error>> {
    const WORDS: [&str; 28] = [
        "CREATE", "OR", "REPLACE", "MODEL", "MODELS", "IF", "NOT", "EXISTS", "m", "\"q\"", "STORED", "AS", "ONNX",
        "LOCATION", "'x'", "OPTIONS", "(", ")", ",", ";", "DROP", "SHOW", "DESCRIBE", "DESC", "1", "--", "/*", "'",
    ];
    let ocelli = Ocelli::builder().build()?;
    let mut random = fastrand::Rng::with_seed(5);
    let mut parsed = 0;
    for _ in 0..20_000 {
        let words: Vec<&str> = (0..random.usize(..14)).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        let Ok(statements) = ocelli.parse_statements(&words.join(" ")) else { continue };
        for shown in statements.iter().map(ToString::to_string).filter(|shown| shown.contains("MODEL")) {
            // DataFusion's own say things of their own.
            if shown.starts_with("SHOW") && shown != "SHOW MODELS" {
                continue;
            }
            let again =
                ocelli.parse_statements(&shown).map_err(|error| format!("{shown}: {}", user_message(&error)))?;
            assert_eq!(again.iter().map(ToString::to_string).collect::<Vec<_>>(), [shown]);
            parsed += 1;
        }
    }
    assert!(parsed > 10, "{parsed}");
    Ok(())
}

#[tokio::main]
async fn a_name_is_taken_once() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{MODELS}/newest.onnx'");
    let both = futures::future::join(ocelli.sql(&create), ocelli.sql(&create)).await;
    let errors: Vec<String> = [both.0.err(), both.1.err()].iter().flatten().map(user_message).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("model 'm' exists already"), "{errors:?}");
    // Another session has names of its own.
    Ocelli::builder().build()?.sql(&create).await?;
    Ok(())
}

#[tokio::main]
async fn models_and_images_are_in_object_stores() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let store = Arc::new(InMemory::new());
    ocelli.context().register_object_store(&Url::parse("memory://bucket")?, Arc::clone(&store) as _);
    for file in ["onnx/model.onnx", "onnx/model.onnx.data", "config.json", "preprocessor_config.json"] {
        let bytes = fs::read(format!("{MODELS}/external/{file}"))?;
        store.put(&format!("models/animals/{file}").into(), bytes.into()).await?;
    }
    let photo = fs::read("examples/data/photos/cat.jpg")?;
    store.put(&"photos/one cat.jpg".into(), photo.into()).await?;
    ocelli.sql("CREATE MODEL m STORED AS ONNX LOCATION 'memory://bucket/models/animals/'").await?;
    let labels = ocelli
        .sql(
            "SELECT classify(uri, model => 'm') AS label, try_classify(uri || '.old') AS old
            FROM (VALUES ('memory://bucket/photos/one%20cat.jpg')) AS t(uri)",
        )
        .await?
        .collect()
        .await?;
    let shown = datafusion::arrow::util::pretty::pretty_format_batches(&labels)?.to_string();
    assert!(shown.contains("| ant   |     |"), "{shown}");
    Ok(())
}

/// A model is replaced, and then dropped, between the first batch of a query and the rest.
#[tokio::main]
async fn running_queries_keep_their_model() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(1).build()?;
    ocelli.sql("SET datafusion.execution.batch_size = 10").await?;
    let from = |name: &str| format!("CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{MODELS}/{name}.onnx'");
    for query in [
        "SELECT predict('m', x, x, x) AS p FROM (SELECT value / 100.0 AS x FROM generate_series(1, 100))",
        "SELECT classify(image, model => 'm') AS p FROM 'examples/data/photos.parquet' CROSS JOIN generate_series(1, 9)",
    ] {
        let model = if query.contains("predict") { "features" } else { "newest" };
        ocelli.sql(&from(model)).await?;
        let expected = ocelli.sql(query).await?.collect().await?;
        let mut rows = ocelli.sql(query).await?.execute_stream().await?;
        let mut batches = vec![rows.next().await.ok_or("no rows")??];
        ocelli.sql(&from("table")).await?;
        batches.extend(rows.next().await.transpose()?);
        ocelli.sql("DROP MODEL m").await?;
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        let joined = |batches: &[_]| datafusion::arrow::compute::concat_batches(&expected[0].schema(), batches);
        assert_eq!(joined(&batches)?, joined(&expected)?, "{query}");
        let error = ocelli.sql(query).await.expect_err("it is gone");
        assert!(user_message(&error).starts_with("model 'm' does not exist"), "{error}");
    }
    Ok(())
}
