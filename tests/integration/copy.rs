//! A write that fails or is cancelled changes nothing: no file, no folder, no object.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::TryStreamExt;
use libtest_mimic::Trial;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use ocelli::{Ocelli, user_message};
use url::Url;

use crate::requirement::require;
use crate::trial;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const FORMATS: [&str; 4] = ["parquet", "csv", "json", "arrow"];
/// More than one buffer of the writers, and several batches.
const ROWS: usize = 300_000;

pub(crate) fn trials() -> Vec<Trial> {
    let full = trial("copy::full_file_systems_keep_the_former_file", full_file_systems_keep_the_former_file);
    vec![
        trial("copy::failed_queries_keep_the_former_file", failed_queries_keep_the_former_file),
        trial("copy::failed_partitioned_writes_leave_nothing", failed_partitioned_writes_leave_nothing),
        trial("copy::inserts_are_atomic", inserts_are_atomic),
        trial("copy::a_file_can_be_replaced_by_a_query_of_itself", a_file_can_be_replaced_by_a_query_of_itself),
        trial("copy::cancelled_writes_leave_nothing", cancelled_writes_leave_nothing),
        trial("copy::objects_appear_when_the_query_succeeds", objects_appear_when_the_query_succeeds),
        trial("copy::targets_that_cannot_be_written_are_reported", targets_that_cannot_be_written_are_reported),
        require("tmpfs", Tmpfs::missing(), full),
    ]
}

/// The contents of all files below a folder, by path.
fn contents(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Box<dyn std::error::Error>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                // An empty folder is a leftover too.
                files.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                files.insert(path.clone(), fs::read(path)?);
            }
        }
    }
    Ok(files)
}

/// A query of [`ROWS`] rows that fails in one row.
fn failing_at(row: usize) -> String {
    format!(
        "SELECT value % 3 AS k, CAST(CASE WHEN value = {row} THEN 'x' ELSE '1' END AS INT) AS v FROM generate_series(1, {ROWS})"
    )
}

async fn run(ocelli: &Ocelli, sql: &str) -> Result<(), String> {
    let collect = async { ocelli.sql(sql).await?.collect().await };
    collect.await.map(drop).map_err(|error| user_message(&error))
}

#[tokio::main]
async fn failed_queries_keep_the_former_file() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    for format in FORMATS {
        let target = root.path().join(format!("out.{format}"));
        let target = target.display();
        for row in [1, ROWS / 2, ROWS] {
            let copy = format!("COPY ({}) TO '{target}'", failing_at(row));
            let before = contents(root.path())?;
            assert_eq!(run(&ocelli, &copy).await, Err("Cannot cast string 'x' to value of Int32 type".to_owned()));
            assert!(contents(root.path())? == before, "{format}, row {row}");
        }
        run(&ocelli, &format!("COPY (SELECT 42 AS answer) TO '{target}'")).await?;
    }
    // The former files are there now.
    for format in FORMATS {
        let copy = format!("COPY ({}) TO '{}'", failing_at(ROWS), root.path().join(format!("out.{format}")).display());
        let before = contents(root.path())?;
        assert!(run(&ocelli, &copy).await.is_err());
        assert!(contents(root.path())? == before, "{format}");
    }
    Ok(())
}

#[tokio::main]
async fn failed_partitioned_writes_leave_nothing() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    for format in ["parquet", "csv", "json"] {
        let copy = |query: &str| {
            format!(
                "COPY ({query}) TO '{}/parts/{format}/' STORED AS {format} PARTITIONED BY (k)",
                root.path().display()
            )
        };
        let before = contents(root.path())?;
        assert!(run(&ocelli, &copy(&failing_at(ROWS))).await.is_err());
        assert!(contents(root.path())? == before, "{format}: {:?}", contents(root.path())?.keys());
        run(&ocelli, &copy("SELECT value % 3 AS k, value AS v FROM generate_series(1, 10)")).await?;
        let before = contents(root.path())?;
        assert!(before.len() >= 7, "three folders with a file each: {:?}", before.keys());
        assert!(run(&ocelli, &copy(&failing_at(ROWS))).await.is_err());
        assert!(contents(root.path())? == before, "{format}");
    }
    Ok(())
}

#[tokio::main]
async fn inserts_are_atomic() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    let table = "CREATE EXTERNAL TABLE t (k BIGINT, v INT) STORED AS PARQUET LOCATION";
    run(&ocelli, &format!("{table} '{}/t/'", root.path().display())).await?;
    run(&ocelli, "INSERT INTO t VALUES (1, 2)").await?;
    let before = contents(root.path())?;
    assert!(run(&ocelli, &format!("INSERT INTO t {}", failing_at(ROWS))).await.is_err());
    assert!(contents(root.path())? == before);
    let rows = ocelli.sql("SELECT * FROM t").await?.count().await?;
    assert_eq!(rows, 1);
    Ok(())
}

#[tokio::main]
async fn a_file_can_be_replaced_by_a_query_of_itself() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    let file = root.path().join("t.parquet");
    let file = file.display();
    run(&ocelli, &format!("COPY (SELECT value AS v FROM generate_series(1, {ROWS})) TO '{file}'")).await?;
    run(&ocelli, &format!("COPY (SELECT v FROM '{file}' WHERE v % 2 = 0) TO '{file}'")).await?;
    assert_eq!(ocelli.sql(&format!("SELECT * FROM '{file}'")).await?.count().await?, ROWS / 2);
    Ok(())
}

#[tokio::main]
async fn cancelled_writes_leave_nothing() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    for format in ["csv", "json"] {
        let copy = format!(
            "COPY (SELECT value AS v FROM generate_series(1, 1000000000000)) TO '{}/a/b/out.{format}'",
            root.path().display()
        );
        let mut stream = ocelli.sql(&copy).await?.execute_stream().await?;
        let staged = root.path().join(format!("a/b/out.{format}#1"));
        // Polled until the first part is written.
        while !fs::metadata(&staged).is_ok_and(|metadata| metadata.len() > 0) {
            let poll = stream.try_poll_next_unpin(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(poll, Poll::Pending), "the query ends");
            tokio::task::yield_now().await;
        }
        drop(stream);
        assert_eq!(contents(root.path())?, BTreeMap::new());
    }
    Ok(())
}

#[tokio::main]
async fn objects_appear_when_the_query_succeeds() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let store = Arc::new(InMemory::new());
    ocelli.context().register_object_store(&Url::parse("mem://bucket")?, Arc::clone(&store) as _);
    // Several parts per upload.
    run(&ocelli, "SET datafusion.execution.objectstore_writer_buffer_size = 10000").await?;
    for format in FORMATS {
        let copy = |query: &str| format!("COPY ({query}) TO 'mem://bucket/out.{format}'");
        assert!(run(&ocelli, &copy(&failing_at(ROWS))).await.is_err());
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await?, []);
        run(&ocelli, &copy("SELECT value AS v FROM generate_series(1, 100000)")).await?;
        let path = object_store::path::Path::from(format!("out.{format}"));
        let former = store.get(&path).await?.bytes().await?;
        assert!(run(&ocelli, &copy(&failing_at(ROWS))).await.is_err());
        assert!(store.get(&path).await?.bytes().await? == former, "{format}");
        store.delete(&path).await?;
    }
    Ok(())
}

#[tokio::main]
async fn targets_that_cannot_be_written_are_reported() -> Outcome {
    let ocelli = Ocelli::builder().build()?;
    let root = tempfile::tempdir()?;
    let below_a_file = root.path().join("file/out.csv");
    fs::write(root.path().join("file"), "")?;
    let read_only = root.path().join("read_only.csv");
    fs::write(&read_only, "former")?;
    let mut permissions = fs::metadata(&read_only)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions)?;
    let before = contents(root.path())?;
    for (target, reason) in [(below_a_file, "Not a directory (os error 20)"), (read_only, "it is read-only")] {
        let message = run(&ocelli, &format!("COPY (SELECT 1 AS a) TO '{}'", target.display())).await;
        let message = message.err().ok_or("the write succeeds")?;
        let expected = format!("file '{}' cannot be written: {reason}", target.display());
        assert!(message.starts_with(&expected), "{message}");
    }
    assert!(contents(root.path())? == before);
    Ok(())
}

/// A file system of 1 MiB in memory.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn missing() -> Option<String> {
        Self::mount().err().map(|error| format!("no tmpfs can be mounted: {error}"))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::main]
async fn full_file_systems_keep_the_former_file() -> Outcome {
    let tmpfs = Tmpfs::mount()?;
    let ocelli = Ocelli::builder().build()?;
    for format in FORMATS {
        let target = tmpfs.0.path().join(format!("out.{format}"));
        let target = target.display();
        run(&ocelli, &format!("COPY (SELECT 42 AS answer) TO '{target}'")).await?;
        let before = contents(tmpfs.0.path())?;
        let copy = format!("COPY (SELECT random() AS v FROM generate_series(1, {ROWS})) TO '{target}'");
        let expected = format!("file '{target}' cannot be written: No space left on device (os error 28)");
        assert_eq!(run(&ocelli, &copy).await, Err(expected));
        assert!(contents(tmpfs.0.path())? == before, "{format}");
    }
    Ok(())
}
