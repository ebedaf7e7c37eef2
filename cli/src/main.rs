//! `ocelli`: SQL over pictures and sparse matrices, from a terminal. [`Args`] is what it takes, [`run`] what it does.
//!
//! Rows go to standard output, everything else to standard error. The exit status is 0, 1 when a statement failed, and 2
//! when the command line was wrong.

mod allocator;
mod args;
mod doctor;
mod output;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use datafusion::error::DataFusionError;
use futures::StreamExt;
use ocelli::{Ocelli, Statement, explain};

use crate::args::{Args, Source};
use crate::output::printable;

fn main() -> ExitCode {
    allocator::return_large_buffers();
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our rows has seen enough, as in `ocelli … | head`.
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(stop) => {
            say(&format!("error: {}", printable(&stop.to_string())));
            ExitCode::from(if matches!(stop, Stop::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Writes a line to standard error. When nobody can read it, there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why the program ends early.
enum Stop {
    /// The command line asks for something that cannot be done.
    Usage(String),
    /// A query failed.
    Query(DataFusionError),
    /// The statement of that number failed, one of several.
    Statement(usize, DataFusionError),
    /// Rows could not be written.
    Output(io::Error),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Query(error) => f.write_str(&explain(error)),
            Self::Statement(number, error) => write!(f, "statement {number}: {}", explain(error)),
            Self::Output(error) => write!(f, "cannot write the rows: {error}"),
        }
    }
}

fn start(args: &Args) -> Result<(), Stop> {
    let text = read(args.source())?;
    // Some editors begin a file with a mark that SQL does not know.
    let text = text.trim_start_matches('\u{feff}');
    let mut builder = Ocelli::builder();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder = builder.threads(threads.into());
        runtime.worker_threads(threads.into());
    }
    if let Some(bytes) = args.memory_limit {
        builder = builder.memory_limit(bytes);
    }
    let ocelli = builder.build().map_err(Stop::Query)?;
    runtime
        .build()
        .map_err(|error| Stop::Usage(format!("cannot start threads: {error}")))?
        .block_on(run(&ocelli, text, args))
}

/// The text to run.
fn read(source: Source<'_>) -> Result<String, Stop> {
    match source {
        Source::Text(text) => Ok(text.to_owned()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|error| Stop::Usage(format!("cannot read '{}': {error}", path.display()))),
        // This is where the interactive shell will start.
        Source::Stdin if io::stdin().is_terminal() => {
            let hint = r#"nothing to run; try: ocelli "SELECT 1", or ocelli --help"#;
            Err(Stop::Usage(hint.to_owned()))
        }
        Source::Stdin => io::read_to_string(io::stdin().lock())
            .map_err(|error| Stop::Usage(format!("cannot read standard input: {error}"))),
    }
}

/// The word, no statement of SQL, that stands for an examination of the machine.
const DOCTOR: &str = "doctor";

/// Runs the statements in turn, up to the first that fails.
async fn run(ocelli: &Ocelli, text: &str, args: &Args) -> Result<(), Stop> {
    if text.trim() == DOCTOR {
        let (lines, is_well) = doctor::examine(ocelli).await.map_err(Stop::Query)?;
        io::stdout().write_all(lines.as_bytes())?;
        return if is_well { Ok(()) } else { Err(Stop::Usage("not all backends work".to_owned())) };
    }
    let statements = ocelli.parse(text).map_err(Stop::Query)?;
    let several = statements.len() > 1;
    for (number, statement) in (1..).zip(statements) {
        run_one(ocelli, statement, args).await.map_err(|stop| match stop {
            Stop::Query(error) if several => Stop::Statement(number, error),
            other => other,
        })?;
    }
    Ok(())
}

/// Runs one statement and writes its rows as they come.
async fn run_one(ocelli: &Ocelli, statement: Statement, args: &Args) -> Result<(), Stop> {
    let start = Instant::now();
    let rows = ocelli.run(statement).await.map_err(Stop::Query)?;
    let mut rows = rows.execute_stream().await.map_err(Stop::Query)?;
    let schema = rows.schema();
    if schema.fields().is_empty() {
        // SET and CREATE have nothing to show, and are done when their stream ends.
        while let Some(batch) = rows.next().await {
            batch.map_err(Stop::Query)?;
        }
        return Ok(());
    }
    let mut out = args.format.writer(schema, io::BufWriter::new(io::stdout().lock()))?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => {
                count += batch.num_rows();
                out.write(&batch)?;
            }
            Err(error) => {
                // What came before the failure is real: it is shown, and then the failure.
                if count > 0 {
                    out.finish()?;
                }
                return Err(Stop::Query(error));
            }
        }
    }
    out.finish()?;
    if !args.quiet {
        let rows = if count == 1 { "row" } else { "rows" };
        say(&format!("{count} {rows} in {:.2} s", start.elapsed().as_secs_f64()));
    }
    Ok(())
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
