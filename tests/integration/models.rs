//! Invalid, missing and replaced models: each error names the cause, no model is registered after an error, and running queries keep
//! their model.

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
        trial("models::errors_name_the_invalid_file", errors_name_the_invalid_file),
        trial("models::options_win_before_files_are_read", options_win_before_files_are_read),
        trial("models::mutated_files_do_not_abort_the_process", mutated_files_do_not_abort_the_process),
        trial("models::parsed_statements_round_trip", parsed_statements_round_trip),
        trial("models::concurrent_creates_register_one_model", concurrent_creates_register_one_model),
        trial("models::object_stores_provide_models_and_images", object_stores_provide_models_and_images),
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
async fn errors_name_the_invalid_file() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    let external = fs::read(format!("{MODELS}/external/onnx/model.onnx"))?;
    let (from, to) = (b"model.onnx.data", b"../../../secret");
    let first = external.windows(from.len()).position(|window| window == from).ok_or("no external data")?;
    // Every weight refers to the external file by name.
    let mut outside = external.clone();
    for offset in first..external.len() - from.len() {
        if outside[offset..].starts_with(from) {
            outside[offset..offset + to.len()].copy_from_slice(to);
        }
    }
    let small = fs::read(format!("{MODELS}/newest.onnx"))?;
    for (bytes, problem) in [
        (&external[..], "its external data 'model.onnx.data': there is no such file"),
        (&outside[..], "its external data '../../../secret' is outside its folder"),
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
            "config.json: id2label has 2 labels, but none for class 1",
        ),
        ("config.json", "{", "config.json: EOF while parsing an object"),
        ("preprocessor_config.json", "{}", "preprocessor_config.json: size is missing"),
        ("labels.txt", "", "labels.txt contains no labels"),
    ] {
        fs::write(folder.path().join(name), text)?;
        let error = create(&ocelli, folder.path()).await.expect_err(problem);
        assert!(error.contains(problem), "{error}");
        fs::remove_file(folder.path().join(name))?;
    }
    fs::write(folder.path().join("config.json"), [0xff, 0xfe])?;
    let error = create(&ocelli, folder.path()).await.expect_err("not UTF-8");
    assert!(error.ends_with("config.json: it is not UTF-8 text"), "{error}");
    let models = ocelli.sql("SELECT name FROM system.models").await?.count().await?;
    assert_eq!(models, 1, "only the built-in model is registered");
    Ok(())
}

/// A setting that an option replaces may be invalid in the file; without the option, the message names it.
#[tokio::main]
async fn options_win_before_files_are_read() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().build()?;
    let folder = tempfile::tempdir()?;
    let location = folder.path().display().to_string();
    fs::copy(format!("{MODELS}/newest.onnx"), folder.path().join("model.onnx"))?;
    fs::write(folder.path().join("names.txt"), "\u{feff}ant\r\nbee\r\ncat\r\n\r\n")?;
    let all = "'size' '32x32', 'crop' 'none', 'resample' 'box', 'rescale_factor' '1', 'mean' '0', 'std' '1', 'channels' 'rgb'";
    for (file, text, options, remedy) in [
        ("config.json", "{\"id2label\": {\"0\": [], \"1\": \"b\"}}", "'labels' 'names.txt'", "'labels'"),
        ("config.json", "{\"id2label\": {\"0\": \"a\"},}", "'labels' 'names.txt'", "'labels'"),
        ("config.json", "[1]", "'labels' 'names.txt'", "'labels'"),
        ("config.json", "{\"pretrained_cfg\": {\"input_size\": 32}}", "'size' '32x32', 'crop' 'none'", "'size'"),
        ("preprocessor_config.json", "{\"size\": \"large\"}", "'size' '32x32'", "'size'"),
        ("preprocessor_config.json", "{\"size\": 32, \"image_mean\": []}", "'mean' '0.5'", "'mean'"),
        ("preprocessor_config.json", "{", all, "'rescale_factor'"),
    ] {
        fs::write(folder.path().join(file), text)?;
        let create =
            format!("CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ('backend' 'rten'");
        let error = ocelli.sql(&format!("{create})")).await.err().ok_or(text)?;
        let message = user_message(&error);
        assert!(message.contains(&format!("{file}: ")) && message.contains(remedy), "{message}");
        ocelli
            .sql(&format!("{create}, {options})"))
            .await
            .map_err(|error| format!("{text}: {}", user_message(&error)))?;
        fs::remove_file(folder.path().join(file))?;
    }
    // The labels are those of the option, without the byte order mark and the empty line at the end.
    ocelli
        .sql(&format!("CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{location}' OPTIONS ('labels' 'names.txt')"))
        .await?;
    let labels = ocelli
        .sql("SELECT classify_topk(image, model => 'm') AS labels FROM 'examples/data/photos.parquet' LIMIT 1")
        .await?
        .collect()
        .await?;
    let table = datafusion::arrow::util::pretty::pretty_format_batches(&labels)?.to_string();
    for label in ["{label: ant, ", "{label: bee, ", "{label: cat, "] {
        assert!(table.contains(label), "{table}");
    }
    Ok(())
}

/// Files with a few mutated bytes, many of which are still valid models.
#[tokio::main]
async fn mutated_files_do_not_abort_the_process() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.onnx");
    let mut random = fastrand::Rng::with_seed(4);
    for name in ["newest", "half", "table"] {
        let original = fs::read(format!("{MODELS}/{name}.onnx"))?;
        for _ in 0..200 {
            let mut bytes = original.clone();
            for _ in 0..random.usize(1..4) {
                let offset = random.usize(..bytes.len());
                bytes[offset] = random.u8(..);
            }
            fs::write(&file, bytes)?;
            let _ = create(&ocelli, folder.path()).await;
        }
    }
    Ok(())
}

/// Random sequences of the tokens of the model statements: those that parse display as SQL that parses to the same statement.
fn parsed_statements_round_trip() -> Result<(), Box<dyn Error>> {
    const TOKENS: [&str; 28] = [
        "CREATE", "OR", "REPLACE", "MODEL", "MODELS", "IF", "NOT", "EXISTS", "m", "\"q\"", "STORED", "AS", "ONNX",
        "LOCATION", "'x'", "OPTIONS", "(", ")", ",", ";", "DROP", "SHOW", "DESCRIBE", "DESC", "1", "--", "/*", "'",
    ];
    let ocelli = Ocelli::builder().build()?;
    let mut random = fastrand::Rng::with_seed(5);
    let mut parsed = 0;
    for _ in 0..20_000 {
        let tokens: Vec<&str> = (0..random.usize(..14)).map(|_| TOKENS[random.usize(..TOKENS.len())]).collect();
        let Ok(statements) = ocelli.parse_statements(&tokens.join(" ")) else { continue };
        for sql in statements.iter().map(ToString::to_string).filter(|sql| sql.contains("MODEL")) {
            // DataFusion's SHOW statements do not round-trip.
            if sql.starts_with("SHOW") && sql != "SHOW MODELS" {
                continue;
            }
            let reparsed = ocelli.parse_statements(&sql).map_err(|error| format!("{sql}: {}", user_message(&error)))?;
            assert_eq!(reparsed.iter().map(ToString::to_string).collect::<Vec<_>>(), [sql]);
            parsed += 1;
        }
    }
    assert!(parsed > 10, "{parsed}");
    Ok(())
}

#[tokio::main]
async fn concurrent_creates_register_one_model() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(2).build()?;
    let create = format!("CREATE MODEL m STORED AS ONNX LOCATION '{MODELS}/newest.onnx'");
    let both = futures::future::join(ocelli.sql(&create), ocelli.sql(&create)).await;
    let errors: Vec<String> = [both.0.err(), both.1.err()].iter().flatten().map(user_message).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("model 'm' already exists"), "{errors:?}");
    // Each session has its own models.
    Ocelli::builder().build()?.sql(&create).await?;
    Ok(())
}

#[tokio::main]
async fn object_stores_provide_models_and_images() -> Result<(), Box<dyn Error>> {
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
    let table = datafusion::arrow::util::pretty::pretty_format_batches(&labels)?.to_string();
    assert!(table.contains("| ant   |     |"), "{table}");
    Ok(())
}

/// A model is replaced, and then dropped, between the first batch of a query and the rest.
#[tokio::main]
async fn running_queries_keep_their_model() -> Result<(), Box<dyn Error>> {
    let ocelli = Ocelli::builder().with_threads(1).build()?;
    ocelli.sql("SET datafusion.execution.batch_size = 10").await?;
    let create_from = |name: &str| format!("CREATE OR REPLACE MODEL m STORED AS ONNX LOCATION '{MODELS}/{name}.onnx'");
    for query in [
        "SELECT predict('m', x, x, x) AS p FROM (SELECT value / 100.0 AS x FROM generate_series(1, 100))",
        "SELECT classify(image, model => 'm') AS p FROM 'examples/data/photos.parquet' CROSS JOIN generate_series(1, 9)",
    ] {
        let model = if query.contains("predict") { "features" } else { "newest" };
        ocelli.sql(&create_from(model)).await?;
        let expected = ocelli.sql(query).await?.collect().await?;
        let mut rows = ocelli.sql(query).await?.execute_stream().await?;
        let mut batches = vec![rows.next().await.ok_or("no rows")??];
        ocelli.sql(&create_from("table")).await?;
        batches.extend(rows.next().await.transpose()?);
        ocelli.sql("DROP MODEL m").await?;
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
        let concat = |batches: &[_]| datafusion::arrow::compute::concat_batches(&expected[0].schema(), batches);
        assert_eq!(concat(&batches)?, concat(&expected)?, "{query}");
        let error = ocelli.sql(query).await.expect_err("the model was dropped");
        assert!(user_message(&error).starts_with("model 'm' does not exist"), "{error}");
    }
    Ok(())
}
