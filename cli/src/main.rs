//! `ocelli`: the command-line program. [`Args`] is the command line, [`run`] executes it.
//!
//! Rows go to standard output, everything else to standard error. The exit status is 0 on success, 1 if a statement failed, 2 if the
//! command line is invalid, and 128 plus the number of the signal that stopped the program.

mod allocator;
mod args;
mod doctor;
mod interrupt;
mod output;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use datafusion::error::DataFusionError;
use futures::StreamExt;
use ocelli::{Ocelli, Statement, user_message};

use crate::args::{Args, Source};
use crate::interrupt::{Signal, run_until_signal};
use crate::output::{Headers, printable};

/// The stack of the thread that plans queries, in bytes: DataFusion recurses into expressions. Memory is used as far as it is touched.
const STACK_BYTES: usize = 256 << 20;

/// The stack of the threads that execute queries, which evaluate expressions by recursion.
const WORKER_STACK_BYTES: usize = 16 << 20;

/// `ocelli.max_expression_depth` of the program, which fits these stacks.
const MAX_EXPRESSION_DEPTH: usize = 5000;

fn main() -> ExitCode {
    allocator::return_large_buffers();
    match std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run_program).map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            print_stderr(&format!("error: cannot start a thread: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run_program() -> ExitCode {
    let args = Args::from_command_line();
    match execute(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe has closed it, as in `ocelli … | head`.
        Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            print_stderr(&format!("error: {}", printable(&error.to_string())));
            ExitCode::from(match error {
                CliError::Usage(_) => 2,
                CliError::Interrupted(signal) => signal.exit_status(),
                CliError::Query(_) | CliError::Statement(..) | CliError::Output(_) => 1,
            })
        }
    }
}

/// Prints a line to standard error. Failures are ignored: there is no other place to report them.
fn print_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why the program fails.
enum CliError {
    /// The command line or the environment is invalid.
    Usage(String),
    /// A query failed.
    Query(DataFusionError),
    /// One of several statements failed, counted from 1.
    Statement(usize, DataFusionError),
    /// Rows could not be written.
    Output(io::Error),
    /// A signal asked the program to stop.
    Interrupted(Signal),
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Query(error) => f.write_str(&user_message(error)),
            Self::Statement(index, error) => write!(f, "statement {index}: {}", user_message(error)),
            Self::Output(error) => write!(f, "cannot write the rows: {error}"),
            Self::Interrupted(signal) => write!(f, "stopped by {}; incomplete files are removed", signal.name),
        }
    }
}

fn execute(args: &Args) -> Result<(), CliError> {
    let text = read(args.source())?;
    // Some editors start a file with a byte order mark.
    let text = without_interpreter(text.trim_start_matches('\u{feff}'));
    let mut builder = Ocelli::builder();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.thread_stack_size(WORKER_STACK_BYTES);
    if let Some(threads) = args.threads {
        builder = builder.with_threads(threads.into());
        runtime.worker_threads(threads.into());
    }
    if let Some(bytes) = args.memory_limit {
        builder = builder.with_memory_limit(bytes);
    }
    let ocelli = builder.build().map_err(CliError::Query)?;
    let runtime = runtime.build().map_err(|error| CliError::Usage(format!("cannot start threads: {error}")))?;
    let result = run_until_signal(&runtime, run(&ocelli, text, args));
    if result.is_err() {
        // Blocking reads and running models are not waited for.
        runtime.shutdown_background();
    }
    result.unwrap_or_else(|signal| Err(CliError::Interrupted(signal)))
}

/// The SQL to run.
fn read(source: Source<'_>) -> Result<String, CliError> {
    match source {
        Source::Text(text) => Ok(text.to_owned()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::Usage(format!("cannot read '{}': {error}", path.display()))),
        Source::Stdin if io::stdin().is_terminal() => {
            let hint = r#"nothing to run; try: ocelli "SELECT 1", or ocelli --help"#;
            Err(CliError::Usage(hint.to_owned()))
        }
        Source::Stdin => io::read_to_string(io::stdin().lock())
            .map_err(|error| CliError::Usage(format!("cannot read standard input: {error}"))),
    }
}

/// The text without a first line that names the interpreter, as in `#!/usr/bin/env -S ocelli -f`. The line break stays, so that locations
/// in messages are those of the file.
fn without_interpreter(text: &str) -> &str {
    if text.starts_with("#!") { &text[text.find('\n').unwrap_or(text.len())..] } else { text }
}

/// Subcommand (not SQL) that runs the environment check.
const DOCTOR: &str = "doctor";

/// Runs the statements in order, up to the first that fails. Each is parsed after those before it have run.
async fn run(ocelli: &Ocelli, text: &str, args: &Args) -> Result<(), CliError> {
    if text.trim() == DOCTOR {
        let (report, is_healthy) = doctor::run_health_check(ocelli).await.map_err(CliError::Query)?;
        io::stdout().write_all(report.as_bytes())?;
        return if is_healthy { Ok(()) } else { Err(CliError::Usage("a backend does not work".to_owned())) };
    }
    let set_depth = format!("SET ocelli.max_expression_depth = {MAX_EXPRESSION_DEPTH}");
    ocelli.sql(&set_depth).await.map_err(CliError::Query)?;
    let mut script = ocelli.script(text);
    let mut index = 0;
    while let Some(statement) = script.next() {
        index += 1;
        let result = match statement {
            Ok(statement) => run_one(ocelli, statement, args).await,
            Err(error) => Err(CliError::Query(error)),
        };
        result.map_err(|error| match error {
            CliError::Query(error) if index > 1 || !script.is_finished() => CliError::Statement(index, error),
            other => other,
        })?;
    }
    Ok(())
}

/// Runs one statement and streams its rows to standard output.
async fn run_one(ocelli: &Ocelli, statement: Statement, args: &Args) -> Result<(), CliError> {
    let start = Instant::now();
    let frame = ocelli.execute_statement(statement).await.map_err(CliError::Query)?;
    let headers = Headers::from_plan(frame.logical_plan()).map_err(CliError::Query)?;
    let mut rows = frame.execute_stream().await.map_err(CliError::Query)?;
    let schema = rows.schema();
    if schema.fields().is_empty() {
        // SET and CREATE return no columns, and take effect when their stream ends.
        while let Some(batch) = rows.next().await {
            batch.map_err(CliError::Query)?;
        }
        return Ok(());
    }
    let out = io::BufWriter::new(io::stdout().lock());
    let mut out = args.format.writer(headers.schema(&schema), args.json_integers, out)?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        match batch.and_then(|batch| headers.batch(batch).map_err(DataFusionError::from)) {
            Ok(batch) => {
                count += batch.num_rows();
                out.write(&batch)?;
            }
            Err(error) => {
                // Rows before the failure are valid: print them, then the error.
                if count > 0 {
                    out.finish()?;
                }
                return Err(CliError::Query(error));
            }
        }
    }
    out.finish()?;
    if !args.quiet {
        let rows = if count == 1 { "row" } else { "rows" };
        print_stderr(&format!("{count} {rows} in {:.2} s", start.elapsed().as_secs_f64()));
    }
    Ok(())
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
